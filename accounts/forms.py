"""The forms of accounts and tokens. What is allowed is said by the services; forms only read what was typed."""

from collections.abc import Collection

from django import forms

from accounts.services.tokens import MAX_DAYS, Scope
from polyhub.lib.errors import AppError

KINDS = (
    (0, "Plain wallet: the key's own address holds the money"),
    (1, "Polymarket proxy wallet (signed up by e-mail, older accounts)"),
    (2, "Polymarket Safe (browser wallet, older accounts)"),
    (3, "Polymarket deposit wallet (current accounts)"),
)
SCOPES = (
    (Scope.READ_MARKET.value, "Read leaders and markets"),
    (Scope.READ_PORTFOLIO.value, "Read accounts, orders and positions"),
    (Scope.TRADE_EXECUTE.value, "Place and cancel orders and change copy rules, on live accounts with real money"),
)


class PaperForm(forms.Form):
    name = forms.CharField(max_length=60, initial="Paper", help_text="As you want to see it on every page.")
    start_usdc = forms.DecimalField(
        label="Play money", initial=1000, max_digits=12, decimal_places=2, help_text="Dollars to start with."
    )


def _private_key(help_text: str) -> forms.CharField:
    return forms.CharField(
        max_length=200,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}, render_value=False),
        help_text=help_text,
    )


class KeyForm(forms.Form):
    """A live account and its key. The key is never sent back to the browser, not even after an error."""

    name = forms.CharField(max_length=60, initial="Live")
    private_key = _private_key("64 hex digits, with or without 0x. It is sealed at once and never shown to anybody.")
    signature_type = forms.TypedChoiceField(label="Kind of wallet", choices=KINDS, coerce=int, initial=3)
    trading_address = forms.CharField(
        label="Wallet address",
        max_length=60,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "0x…"}),
        help_text="The address that holds the money, as your Polymarket profile shows it. Empty for a plain wallet.",
    )


class KeyAgainForm(forms.Form):
    """The key of an account that is there already."""

    private_key = _private_key(
        "For when the vault was lost, or its key was changed: the key this account was connected with, sealed anew. "
        "Orders, rules and limits stay as they are."
    )


class SessionAccountForm(forms.Form):
    """A live account whose owner's key never comes here."""

    name = forms.CharField(max_length=60, initial="Live")
    trading_address = forms.CharField(
        label="Deposit wallet",
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "0x…"}),
        help_text="The address that holds the money, as your Polymarket profile shows it.",
    )
    days = forms.IntegerField(
        label="Days the key lives", min_value=1, max_value=179, initial=90, help_text="You can end it sooner."
    )


class SessionKeyForm(forms.Form):
    """A session key the owner has authorised elsewhere."""

    private_key = _private_key("The session key, never the owner's: 64 hex digits. It is sealed at once.")
    days = forms.IntegerField(
        label="Days it still lives",
        min_value=1,
        max_value=179,
        help_text="As it was authorised; rather fewer than more.",
    )


class PolicyForm(forms.Form):
    """What the signer signs at most, whatever the rest of PolyHub asks."""

    max_order_usdc = forms.DecimalField(label="Largest order", initial=500, max_digits=12, decimal_places=2)
    max_day_usdc = forms.DecimalField(label="All orders of a day", initial=5000, max_digits=12, decimal_places=2)
    min_price = forms.DecimalField(label="Lowest price", initial="0.01", max_digits=6, decimal_places=4)
    max_price = forms.DecimalField(label="Highest price", initial="0.99", max_digits=6, decimal_places=4)


class TokenForm(forms.Form):
    name = forms.CharField(max_length=60, help_text="What it is for.")
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=SCOPES,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
        initial=[Scope.READ_PORTFOLIO.value],
    )
    days = forms.IntegerField(label="Days it lives", min_value=1, max_value=MAX_DAYS, initial=30)


def refuse(form: forms.Form, error: AppError, *, fields: Collection[str]) -> None:
    """Show a service's refusal beside the field it names, or above the form."""
    field = str(error.details.get("field", ""))
    form.add_error(field if field in fields else None, error.message)
