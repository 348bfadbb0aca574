from django.urls import path, re_path

from copytrade import views

LEADER = r"(?P<address>0x[0-9a-fA-F]{40})"

urlpatterns = [
    path("cockpit/", views.Cockpit.as_view(), name="cockpit"),
    path("cockpit/equity.json", views.Equity.as_view(), name="equity"),
    path("copy/", views.CopyDesk.as_view(), name="copy-desk"),
    re_path(rf"^copy/follow/{LEADER}/$", views.Follow.as_view(), name="follow"),
    re_path(rf"^copy/follow/{LEADER}/preview/$", views.Preview.as_view(), name="follow-preview"),
    path("copy/rules/<uuid:rule_id>/", views.EditRule.as_view(), name="rule"),
    path("copy/rules/<uuid:rule_id>/<slug:action>/", views.MoveRule.as_view(), name="rule-move"),
    path("activity/", views.Activity.as_view(), name="activity"),
]
