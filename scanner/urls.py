from django.urls import path, re_path

from scanner import views

urlpatterns = [
    path("leaders/", views.Leaders.as_view(), name="leaders"),
    re_path(r"^leaders/(?P<address>0x[0-9a-fA-F]{40})/$", views.WalletPage.as_view(), name="wallet"),
]
