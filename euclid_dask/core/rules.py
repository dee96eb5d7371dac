"""The rules by which tasks are placed and pilots are requested: numbers that a site may change."""

from euclid_dask.core.values import Value


class Rules(Value, frozen=True, kw_only=True):
    """How careful placing is, and how eager provisioning; all times are seconds.

    A task goes to a pilot that has `kappa` times the duration left that 90 % of such tasks stay
    below, and `margin_s` more (but never more than that duration again). A task that has been
    ready for longer than `patience_s` goes before all others.

    A pilot ends when it had nothing to do for `idle_s`; one that is queued is cancelled when
    nobody has needed it for `hysteresis_s`. At most `requests` pilots are requested within
    `every_s`, which is also the time between two looks at what is needed. A pilot is requested if
    what waits would use `min_use` of it, or would run nowhere else. After `max_failures` starts in
    a row that failed, a template is paused for `pause_s`. A pilot whose job has run for `join_s`
    longer than such ones take to start, and which has not joined, is given up. A host takes
    nothing new for `quarantine_s` after `max_troubles` attempts in a row that were lost or failed
    there by the machine, or when a pilot found it unfit, if others are fit. At most `max_running`
    pilots of all kinds live at a time, queued ones included, and at most `max_queued` of them wait;
    0 is no limit.
    """

    kappa: float = 1.0
    margin_s: float = 60.0
    patience_s: float = 6 * 3600.0
    idle_s: float = 300.0
    hysteresis_s: float = 60.0
    every_s: float = 10.0
    requests: int = 20
    min_use: float = 0.25
    max_failures: int = 3
    pause_s: float = 600.0
    join_s: float = 600.0
    max_troubles: int = 3
    quarantine_s: float = 3600.0
    max_running: int = 0
    max_queued: int = 0
