"""The order ticket: what an order would do now, and placing it only while the shown book still says so."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from accounts.models import TradingAccount
from markets.domain.book import Book
from markets.models import BookView, Token
from markets.venue.ports import OrderType, Side
from polyhub.lib import money
from polyhub.lib.errors import AppError
from trading.domain import ticket, words
from trading.services import orders

# A shown book is written again every five seconds, changed or not.
STALE = timedelta(seconds=15)
SOURCE = "ticket"


class NotPlaced(AppError):
    """The order was not even asked for; the code says why."""

    code = "NOT_PLACED"
    http_status = 409


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person asks for. `price` is the worst accepted."""

    token: Token
    side: Side
    order_type: OrderType
    price: Decimal
    shares: Decimal
    post_only: bool = False


def book_of(*, token: Token, now: datetime) -> tuple[Book, str]:
    """The shown book and its doubt; a book nobody refreshed lately is doubtful whatever it says."""
    shown = BookView.objects.filter(token=token).first()
    book = Book()
    if shown is None:
        return book, "NO_BOOK"
    book.replace(bids=_units(shown.bids), asks=_units(shown.asks))
    return book, shown.doubt or ("STALE" if now - shown.updated_at > STALE else "")


def preview(*, terms: Terms, now: datetime) -> ticket.Preview:
    """What these terms would do to the book as it is now."""
    book, doubt = book_of(token=terms.token, now=now)
    market = terms.token.market
    return ticket.preview(
        book=book,
        doubt=doubt,
        side=terms.side,
        order_type=terms.order_type,
        price=terms.price,
        shares=terms.shares,
        fee_rate=market.fee_rate,
        fee_exponent=market.fee_exponent,
        post_only=terms.post_only,
    )


def place(
    *, account: TradingAccount, terms: Terms, client_order_id: UUID, actor: str, now: datetime
) -> orders.SubmitResult:
    """Ask for the order if the book still allows it. The same `client_order_id` twice is one order.

    Raises NotPlaced with the preview's problem, or with why the order could not be stored.
    """
    found = preview(terms=terms, now=now)
    if found.problem:
        raise NotPlaced(_sentence(found.problem, found.numbers), code=found.problem, details=found.numbers)
    result = orders.submit_order(
        request=orders.OrderRequest(
            account_id=account.pk,
            client_order_id=client_order_id,
            token_id=terms.token.token_id,
            side=terms.side,
            order_type=terms.order_type,
            price=terms.price,
            shares=terms.shares,
            source=SOURCE,
            reference_price=found.best_price,
            post_only=terms.post_only,
        ),
        actor=actor,
        now=now,
    )
    if result.order_id is None:
        raise NotPlaced(_sentence(result.code, result.numbers), code=result.code, details=result.numbers)
    return result


def _sentence(code: str, numbers: dict[str, str]) -> str:
    return f"Not placed: {words.denial_words(code, numbers)}."


def _units(levels: list[list[str]]) -> list[tuple[int, int]]:
    return [(money.price_to_units(Decimal(price)), money.to_units(Decimal(shares))) for price, shares in levels]
