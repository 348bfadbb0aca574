from django.urls import path

from trading import views

urlpatterns = [
    path("orders/", views.Orders.as_view(), name="orders"),
    path("orders/<int:order_id>/", views.OrderDetail.as_view(), name="order"),
    path("orders/<int:order_id>/cancel/", views.CancelOrder.as_view(), name="order-cancel"),
    path("positions/", views.Positions.as_view(), name="positions"),
]
