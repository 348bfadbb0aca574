from django.urls import path, re_path

from trading import market_views as views

CONDITION = r"^markets/(?P<condition_id>0x[0-9a-fA-F]{62,64})"

urlpatterns = [
    path("markets/", views.Markets.as_view(), name="markets"),
    path("data/", views.DataStatus.as_view(), name="data-status"),
    re_path(rf"{CONDITION}/$", views.MarketPage.as_view(), name="market"),
    re_path(rf"{CONDITION}/candles/$", views.Candles.as_view(), name="market-candles"),
    re_path(rf"{CONDITION}/ticket/$", views.Ticket.as_view(), name="ticket"),
]
