"""The order ticket: people write cents, orders hold dollars."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms

from accounts.models import AccountMode, TradingAccount, User
from accounts.selectors import usable_accounts_of
from markets.models import Market, Token
from markets.venue.ports import OrderType, Side
from trading.services.ticket import Terms

HUNDRED = Decimal(100)
KINDS = (
    (OrderType.GTC.value, "Limit: waits until filled"),
    (OrderType.FAK.value, "Now: take what is there"),
    (OrderType.FOK.value, "All now, or nothing"),
)
_SELECT = {"class": "form-select"}
_NUMBER = {"class": "form-control", "step": "any", "inputmode": "decimal"}


class TicketForm(forms.Form):
    """One order in one market, for one of the person's own accounts of the mode."""

    account = forms.ModelChoiceField(
        queryset=TradingAccount.objects.none(), widget=forms.Select(attrs=_SELECT), empty_label=None
    )
    token = forms.ModelChoiceField(
        queryset=Token.objects.none(), label="Outcome", widget=forms.Select(attrs=_SELECT), empty_label=None
    )
    side = forms.ChoiceField(
        choices=[(Side.BUY.value, "Buy"), (Side.SELL.value, "Sell")],
        initial=Side.BUY.value,
        widget=forms.RadioSelect(attrs={"class": "form-selectgroup-input"}),
    )
    order_type = forms.ChoiceField(label="Kind", choices=KINDS, widget=forms.Select(attrs=_SELECT))
    cents = forms.DecimalField(
        label="Worst price",
        min_value=Decimal("0.01"),
        max_value=Decimal("99.99"),
        max_digits=4,
        decimal_places=2,
        widget=forms.NumberInput(attrs=_NUMBER),
    )
    shares = forms.DecimalField(
        min_value=Decimal("0.01"), max_digits=20, decimal_places=6, widget=forms.NumberInput(attrs=_NUMBER)
    )
    post_only = forms.BooleanField(
        required=False, label="Only rest, never take", widget=forms.CheckboxInput(attrs={"class": "form-check-input"})
    )
    client_order_id = forms.UUIDField(initial=uuid4, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User, mode: AccountMode, market: Market, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = usable_accounts_of(user=user, mode=mode)  # type: ignore[attr-defined]
        self.fields["token"].queryset = market.tokens.order_by("outcome_index")  # type: ignore[attr-defined]
        self.fields["token"].label_from_instance = lambda token: token.outcome  # type: ignore[attr-defined]
        self.fields["account"].label_from_instance = lambda account: account.name  # type: ignore[attr-defined]

    @property
    def is_begun(self) -> bool:
        """Price and size are written: only then is there anything to say about them."""
        return bool(self.data.get("cents") and self.data.get("shares"))

    def terms(self) -> Terms:
        """After `is_valid`."""
        said = self.cleaned_data
        return Terms(
            token=said["token"],
            side=Side(said["side"]),
            order_type=OrderType(said["order_type"]),
            price=said["cents"] / HUNDRED,
            shares=said["shares"],
            post_only=said["post_only"],
        )
