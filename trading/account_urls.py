from django.urls import path

from trading import account_views as views

urlpatterns = [
    path("accounts/", views.Accounts.as_view(), name="accounts"),
    path("accounts/create/", views.CreatePaper.as_view(), name="account-create"),
    path("accounts/import/", views.ImportKey.as_view(), name="account-import"),
    path("accounts/<uuid:account_id>/status/", views.ChangeStatus.as_view(), name="account-status"),
    path("accounts/<uuid:account_id>/reset/", views.ResetPaper.as_view(), name="account-reset"),
    path("accounts/<uuid:account_id>/key/", views.ReplaceKey.as_view(), name="account-key"),
    path("accounts/<uuid:account_id>/policy/", views.ChangePolicy.as_view(), name="account-policy"),
    path("accounts/<uuid:account_id>/test/", views.TestConnection.as_view(), name="account-test"),
]
