"""Tables every app may use: service leases and the numbered stream of push events."""

from django.db import models


class Service(models.Model):
    """A long-running thing with one owner at a time. `token` only grows; every write of the owner names it."""

    name = models.CharField(max_length=64, unique=True)
    owner = models.CharField(max_length=128, blank=True, default="")
    token = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    enqueued_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=24, blank=True, default="")
    detail = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return self.name


class PushStream(models.Model):
    """The last event number of one user. Its row lock makes event numbers follow commit order."""

    user_id = models.BigIntegerField(primary_key=True)
    last_seq = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.user_id}@{self.last_seq}"


class PushEvent(models.Model):
    """One change a user's browser should see; kept a while so that a client can resume by number."""

    user_id = models.BigIntegerField()
    seq = models.BigIntegerField()
    topic = models.CharField(max_length=64)
    payload = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "seq"], name="push_event_user_seq")]
        indexes = [models.Index(fields=["at"], name="push_event_at")]

    def __str__(self) -> str:
        return f"{self.topic} {self.user_id}#{self.seq}"


class PoolShare(models.Model):
    """One process's part of something all processes share; what it had a moment ago counts until `kept_until`."""

    pool = models.CharField(max_length=64)
    holder = models.CharField(max_length=128)
    part = models.FloatField(default=0)
    part_before = models.FloatField(default=0)
    kept_until = models.DateTimeField(null=True, blank=True)
    demand = models.FloatField(default=0)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "holder"], name="pool_share_once")]

    def __str__(self) -> str:
        return f"{self.part:.2f} of {self.pool} for {self.holder}"


class PoolHold(models.Model):
    """Something all processes must leave alone until then."""

    name = models.CharField(max_length=96, unique=True)
    until = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.name} until {self.until}"
