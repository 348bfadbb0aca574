from django.urls import path

from trading import account_views as views
from trading import custody_views

urlpatterns = [
    path("accounts/", views.Accounts.as_view(), name="accounts"),
    path("accounts/create/", views.CreatePaper.as_view(), name="account-create"),
    path("accounts/import/", views.ImportKey.as_view(), name="account-import"),
    path("accounts/<uuid:account_id>/status/", views.ChangeStatus.as_view(), name="account-status"),
    path("accounts/<uuid:account_id>/reset/", views.ResetPaper.as_view(), name="account-reset"),
    path("accounts/<uuid:account_id>/key/", views.ReplaceKey.as_view(), name="account-key"),
    path("accounts/<uuid:account_id>/policy/", views.ChangePolicy.as_view(), name="account-policy"),
    path("accounts/<uuid:account_id>/test/", views.TestConnection.as_view(), name="account-test"),
    path("accounts/<uuid:account_id>/doctor/", custody_views.Doctor.as_view(), name="account-doctor"),
    path("accounts/keys/", custody_views.Custody.as_view(), name="custody"),
    path("accounts/session/", custody_views.ConnectBySessionKey.as_view(), name="account-session"),
    path("accounts/<uuid:account_id>/keys/", custody_views.ChangeKey.as_view(), name="account-keys"),
    path(
        "accounts/<uuid:account_id>/keys/import/",
        custody_views.ImportSessionKey.as_view(),
        name="account-session-import",
    ),
]
