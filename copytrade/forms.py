"""The follow form: people write percent and cents, rules hold fractions. What is allowed is said by the service."""

from decimal import Decimal
from typing import Any, cast

from django import forms

from accounts.models import AccountMode, TradingAccount, User
from accounts.selectors import usable_accounts_of
from copytrade.domain.rules import Sizing
from copytrade.models import CopyRule
from copytrade.services.rules import InvalidRule, RuleInput, allowed

HUNDRED = Decimal(100)
# Field of the service -> field of the form.
FIELDS = {"ratio": "ratio_percent", "slippage": "slippage_percent", "min_price": "min_cents", "max_price": "max_cents"}
SIZINGS = ((Sizing.FIXED.value, "The same dollars each time"), (Sizing.RATIO.value, "A share of the leader's size"))


class Amount(forms.DecimalField):
    """A number with its unit beside the box."""

    def __init__(self, label: str, *, unit: str, help_text: str = "", required: bool = True) -> None:
        self.unit = unit
        box = forms.NumberInput(attrs={"class": "form-control", "step": "any", "inputmode": "decimal"})
        super().__init__(
            label=label, required=required, max_digits=20, decimal_places=6, help_text=help_text, widget=box
        )


class Seconds(forms.IntegerField):
    unit = "s"


class RuleForm(forms.Form):
    """The terms of a rule."""

    sizing = forms.ChoiceField(
        choices=SIZINGS, label="How much", widget=forms.RadioSelect(attrs={"class": "form-selectgroup-input"})
    )
    fixed_usdc = Amount(
        "Dollars per copied trade", unit="$", required=False, help_text="At your worst price, so never more."
    )
    ratio_percent = Amount(
        "Percent of the leader's shares", unit="%", required=False, help_text="100 copies the same size."
    )
    max_position_usdc = Amount("Most in one position", unit="$", help_text="Per outcome, for this leader.")
    min_order_usdc = Amount(
        "Smallest order", unit="$", help_text="Smaller copies are skipped. The venue takes $1 and more."
    )
    slippage_percent = Amount("Slippage", unit="%", help_text="How far above the leader's price you still buy.")
    min_cents = Amount("Lowest price", unit="¢", help_text="Trades of the leader below this are skipped.")
    max_cents = Amount("Highest price", unit="¢", help_text="Trades of the leader above this are skipped.")
    max_age_s = Seconds(
        label="Age limit",
        min_value=1,
        help_text="Trades seen later than this are recorded, not copied. Exits have no age limit.",
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )

    def terms(self) -> RuleInput:
        """What was written, in the service's units. Call it on a valid form."""
        said = self.cleaned_data
        sizing = Sizing(said["sizing"])
        ratio = said["ratio_percent"]
        return RuleInput(
            sizing=sizing,
            ratio=ratio / HUNDRED if sizing is Sizing.RATIO and ratio is not None else None,
            fixed_usdc=said["fixed_usdc"] if sizing is Sizing.FIXED else None,
            max_position_usdc=said["max_position_usdc"],
            min_order_usdc=said["min_order_usdc"],
            slippage=said["slippage_percent"] / HUNDRED,
            min_price=said["min_cents"] / HUNDRED,
            max_price=said["max_cents"] / HUNDRED,
            max_age_s=said["max_age_s"],
        )

    def blame(self, error: InvalidRule) -> None:
        """Show the service's sentence at its field, in the unit of the form."""
        named, limits = str(error.details.get("field", "")), error.details
        field = FIELDS.get(named, named)
        message = error.message
        if named in FIELDS and "most" in limits:
            bounds = {name: cast(Any, limits[name]) for name in ("least", "above", "most", "step")}
            message = allowed(**bounds, factor=int(HUNDRED), unit=cast(Amount, self.fields[field]).unit)
        self.add_error(field if field in self.fields else None, message)


class FollowForm(RuleForm):
    """The terms and the account that follows."""

    account = forms.ModelChoiceField(
        queryset=TradingAccount.objects.none(), empty_label=None, widget=forms.Select(attrs={"class": "form-select"})
    )

    def __init__(self, *args: Any, user: User, mode: AccountMode, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["account"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = usable_accounts_of(user=user, mode=mode)
        self.order_fields(["account"])


def defaults() -> dict[str, Any]:
    """What a new rule starts from."""
    return {"fixed_usdc": Decimal(5), "ratio_percent": Decimal(10), **_said(RuleInput(sizing=Sizing.FIXED))}


def values_of(rule: CopyRule) -> dict[str, Any]:
    """A rule's terms as the form writes them."""
    return {
        "fixed_usdc": _plain(rule.fixed_usdc) if rule.fixed_usdc is not None else Decimal(5),
        "ratio_percent": _plain(rule.ratio * HUNDRED) if rule.ratio is not None else Decimal(10),
        **_said(rule),
    }


def _said(terms: RuleInput | CopyRule) -> dict[str, Any]:
    return {
        "sizing": str(terms.sizing),
        "max_position_usdc": _plain(terms.max_position_usdc),
        "min_order_usdc": _plain(terms.min_order_usdc),
        "slippage_percent": _plain(terms.slippage * HUNDRED),
        "min_cents": _plain(terms.min_price * HUNDRED),
        "max_cents": _plain(terms.max_price * HUNDRED),
        "max_age_s": terms.max_age_s,
    }


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
