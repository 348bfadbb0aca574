"""The venue's catalogue, the newest book of each token, and leaders' trades as seen by every source."""

from enum import StrEnum

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models

from markets.domain.catalogue import Resolution
from markets.domain.continuity import Subject, Trouble
from polyhub.lib.choices import choices_of, one_of


class TradeSide(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class TradeSource(StrEnum):
    RTDS = "rtds"
    DATA_API = "data_api"
    CHAIN = "chain"


class Event(models.Model):
    """A question group as Gamma lists it."""

    venue_id = models.CharField(max_length=64, unique=True)
    slug = models.CharField(max_length=255, blank=True, default="")
    title = models.TextField(blank=True, default="")
    neg_risk = models.BooleanField(default=False)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.title or self.venue_id


class Market(models.Model):
    """One condition: a question with two outcome tokens."""

    condition_id = models.CharField(max_length=66, unique=True)
    event = models.ForeignKey("markets.Event", null=True, blank=True, on_delete=models.PROTECT, related_name="markets")
    slug = models.CharField(max_length=255, blank=True, default="")
    question = models.TextField(blank=True, default="")
    category = models.CharField(max_length=64, blank=True, default="")
    neg_risk = models.BooleanField(default=False)
    tick_size = models.DecimalField(max_digits=6, decimal_places=4, default="0.01")
    min_order_shares = models.DecimalField(max_digits=20, decimal_places=6, default=5)
    # Unknown (null) is not zero: no order is sent while the fee is unknown.
    fee_rate = models.DecimalField(max_digits=8, decimal_places=6, null=True, blank=True)
    fee_exponent = models.PositiveSmallIntegerField(default=1)
    fee_taker_only = models.BooleanField(default=True)
    active = models.BooleanField(default=True)
    closed = models.BooleanField(default=False)
    accepting_orders = models.BooleanField(default=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    rules = models.TextField(blank=True, default="")
    group_title = models.CharField(max_length=255, blank=True, default="")
    # Exactly one market of a group resolves Yes; empty outside neg-risk events.
    neg_risk_group = models.CharField(max_length=66, blank=True, default="")
    resolution = models.CharField(max_length=10, choices=choices_of(Resolution), default=Resolution.NONE)
    # What a share of the first outcome pays; null while open and where the venue never said.
    payout_of_first = models.DecimalField(max_digits=4, decimal_places=3, null=True, blank=True)
    # The listing's price of the first outcome, minutes old: for the browser only, never for deciding anything.
    listed_price = models.DecimalField(max_digits=5, decimal_places=4, null=True, blank=True)
    volume_usdc = models.DecimalField(max_digits=20, decimal_places=2, null=True, blank=True)
    volume_24h_usdc = models.DecimalField(max_digits=20, decimal_places=2, null=True, blank=True)
    liquidity_usdc = models.DecimalField(max_digits=20, decimal_places=2, null=True, blank=True)
    taker_delay_s = models.PositiveIntegerField(default=0)
    # The event's title and the outcomes, so that one index finds a market by any of its words.
    keywords = models.TextField(blank=True, default="")
    words = models.GeneratedField(
        expression=SearchVector("question", "group_title", "keywords", config="simple"),
        output_field=SearchVectorField(),
        db_persist=True,
    )
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [one_of("resolution", Resolution, name="market_resolution_known")]
        indexes = [
            GinIndex(fields=["words"], name="market_words"),
            models.Index(
                models.F("volume_24h_usdc").desc(nulls_last=True),
                "id",
                name="market_open_by_volume",
                condition=models.Q(closed=False),
            ),
            models.Index(fields=["ends_at", "id"], name="market_open_by_end", condition=models.Q(closed=False)),
            models.Index(
                fields=["neg_risk_group"], name="market_neg_risk_group", condition=~models.Q(neg_risk_group="")
            ),
        ]

    def __str__(self) -> str:
        return self.question or self.condition_id


class CataloguePass(models.Model):
    """How far the walk over the venue's open markets has come; a restart goes on where it stopped."""

    name = models.CharField(max_length=20, unique=True)
    cursor = models.TextField(blank=True, default="")
    started_at = models.DateTimeField()
    # The last pass that reached the end of the listing, and when that pass had begun.
    completed_at = models.DateTimeField(null=True, blank=True)
    completed_since = models.DateTimeField(null=True, blank=True)
    markets = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Token(models.Model):
    """One outcome of a market."""

    token_id = models.CharField(max_length=80, unique=True)
    market = models.ForeignKey("markets.Market", on_delete=models.PROTECT, related_name="tokens")
    outcome = models.CharField(max_length=120)
    outcome_index = models.PositiveSmallIntegerField()
    # When the venue's own price history was imported.
    history_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["market", "outcome_index"], name="token_outcome_once")]

    def __str__(self) -> str:
        return f"{self.outcome} of {self.market_id}"


class Quote(models.Model):
    """The newest top of book of a token, for pages and valuation (never for deciding an order)."""

    token = models.OneToOneField("markets.Token", on_delete=models.CASCADE, related_name="quote")
    best_bid = models.DecimalField(max_digits=6, decimal_places=4, null=True, blank=True)
    best_ask = models.DecimalField(max_digits=6, decimal_places=4, null=True, blank=True)
    last_price = models.DecimalField(max_digits=6, decimal_places=4, null=True, blank=True)
    venue_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.best_bid}/{self.best_ask}"


class Interest(models.Model):
    """Somebody looks at this token's book until then: an open page, a client of the socket."""

    token = models.OneToOneField("markets.Token", on_delete=models.CASCADE, related_name="interest")
    until_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"until {self.until_at}"


class BookView(models.Model):
    """The newest book of a token somebody looks at, for pages and clients (never for deciding an order).

    `bids` and `asks` are [price, shares] as strings, best first. An untrusted book says why and is shown as such.
    """

    token = models.OneToOneField("markets.Token", on_delete=models.CASCADE, related_name="book_view")
    bids = models.JSONField(default=list)
    asks = models.JSONField(default=list)
    # Empty while the book is trusted.
    doubt = models.CharField(max_length=20, blank=True, default="")
    tick_size = models.DecimalField(max_digits=6, decimal_places=4, default="0.01")
    venue_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.doubt or "trusted"


class Candle(models.Model):
    """What a token's price did in one span of time: of trades where there were any, else of the mid quotes."""

    pk = models.CompositePrimaryKey("token_id", "span_s", "at")
    token = models.ForeignKey("markets.Token", on_delete=models.CASCADE, related_name="candles")
    span_s = models.PositiveIntegerField()
    at = models.DateTimeField()
    open = models.DecimalField(max_digits=6, decimal_places=5)
    high = models.DecimalField(max_digits=6, decimal_places=5)
    low = models.DecimalField(max_digits=6, decimal_places=5)
    close = models.DecimalField(max_digits=6, decimal_places=5)
    shares = models.DecimalField(max_digits=24, decimal_places=6, default=0)
    trades = models.PositiveIntegerField(default=0)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField()
    # The venue's price history is in it: part or all of it was not seen by us.
    is_imported = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(low__lte=models.F("open"), high__gte=models.F("open"))
                & models.Q(low__lte=models.F("close"), high__gte=models.F("close")),
                name="candle_spans_its_ends",
            )
        ]

    def __str__(self) -> str:
        return f"{self.at} {self.close}"


class ContinuityDay(models.Model):
    """One day of one token, stream or leader: how long it was needed and trusted, and what went wrong."""

    day = models.DateField()
    subject = models.CharField(max_length=10, choices=choices_of(Subject))
    name = models.CharField(max_length=80)
    needed_ms = models.BigIntegerField(default=0)
    trusted_ms = models.BigIntegerField(default=0)
    reconnects = models.PositiveIntegerField(default=0)
    gaps = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    disagreements = models.PositiveIntegerField(default=0)
    checksums = models.PositiveIntegerField(default=0)
    resubscribed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["day", "subject", "name"], name="continuity_day_once"),
            one_of("subject", Subject, name="continuity_subject_known"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.subject} {self.name}"

    @property
    def coverage(self) -> float | None:
        """Part of the needed time for which the book was trusted; None where nothing was needed."""
        return self.trusted_ms / self.needed_ms if self.needed_ms else None


class Incident(models.Model):
    """Something that went wrong with the data, in words; removed after a month."""

    at = models.DateTimeField(db_index=True)
    subject = models.CharField(max_length=10, choices=choices_of(Subject))
    name = models.CharField(max_length=80)
    trouble = models.CharField(max_length=20, choices=choices_of(Trouble))
    detail = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        constraints = [one_of("trouble", Trouble, name="incident_trouble_known")]

    def __str__(self) -> str:
        return f"{self.trouble} {self.name}"


class WatchedWallet(models.Model):
    """A wallet whose trades the feed records; the apps above say which."""

    address = models.CharField(max_length=42, unique=True)
    active = models.BooleanField(default=True)
    since_at = models.DateTimeField()
    reconciled_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.address


class LeaderTrade(models.Model):
    """One fill of one watched wallet, once, whichever source told first; each source's arrival is kept."""

    wallet = models.CharField(max_length=42)
    token = models.ForeignKey("markets.Token", on_delete=models.PROTECT, related_name="leader_trades")
    side = models.CharField(max_length=4, choices=choices_of(TradeSide))
    price = models.DecimalField(max_digits=12, decimal_places=10)
    shares = models.DecimalField(max_digits=20, decimal_places=6)
    transaction_hash = models.CharField(max_length=66)
    # What the wallet held of the token just before this fill; null when unknown.
    held_before_shares = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    first_source = models.CharField(max_length=10, choices=choices_of(TradeSource))
    traded_at = models.DateTimeField()
    received_at = models.DateTimeField()
    rtds_at = models.DateTimeField(null=True, blank=True)
    data_api_at = models.DateTimeField(null=True, blank=True)
    chain_at = models.DateTimeField(null=True, blank=True)
    # Set once every follower's verdict is written.
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            one_of("side", TradeSide, name="leader_trade_side_known"),
            models.CheckConstraint(condition=models.Q(price__gt=0, price__lt=1), name="leader_trade_price_0_1"),
            models.CheckConstraint(condition=models.Q(shares__gt=0), name="leader_trade_shares_positive"),
            models.UniqueConstraint(
                fields=["transaction_hash", "wallet", "token", "side", "price", "shares"], name="leader_trade_once"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(decided_at__isnull=True), name="leader_trade_undecided"),
            models.Index(fields=["wallet", "-traded_at"], name="leader_trade_wallet_time"),
        ]

    def __str__(self) -> str:
        return f"{self.wallet[:8]} {self.side} {self.shares}@{self.price}"


class LeaderPosition(models.Model):
    """Shares a watched wallet holds of a token, from a venue snapshot moved on by its trades."""

    wallet = models.CharField(max_length=42)
    token = models.ForeignKey("markets.Token", on_delete=models.PROTECT, related_name="leader_positions")
    shares = models.DecimalField(max_digits=20, decimal_places=6)
    as_of = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["wallet", "token"], name="leader_position_once"),
            models.CheckConstraint(condition=models.Q(shares__gte=0), name="leader_position_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.wallet[:8]} holds {self.shares}"
