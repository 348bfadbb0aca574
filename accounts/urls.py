from django.urls import path

from accounts import views

urlpatterns = [
    path("accounts/mode/", views.SwitchMode.as_view(), name="mode-switch"),
    path("accounts/tokens/", views.Tokens.as_view(), name="tokens"),
    path("accounts/tokens/create/", views.CreateToken.as_view(), name="token-create"),
    path("accounts/tokens/<uuid:token_id>/revoke/", views.RevokeToken.as_view(), name="token-revoke"),
    path("accounts/<uuid:account_id>/primary/", views.MakePrimary.as_view(), name="account-primary"),
]
