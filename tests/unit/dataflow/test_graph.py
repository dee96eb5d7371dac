"""What can be read off the graph of a flow."""

from euclid_dask.dataflow.graph import Graph, ranks

BRANCH = "each.iterations.*."


def test_the_order_puts_every_step_after_what_it_waits_for(build):
    assert Graph.of(build.vis()).order() == [
        "cut",
        f"{BRANCH}block.dark",
        f"{BRANCH}cosmics",
        "each",
        "join",
    ]


def test_ancestors_and_descendants_lead_through_blocks(build):
    graph = Graph.of(build.vis())
    assert graph.ancestors([f"{BRANCH}cosmics"]) == {"cut", f"{BRANCH}block.dark"}
    assert graph.descendants([f"{BRANCH}cosmics", "join"]) == {"each", "join"}


def test_tasks_are_the_steps_without_the_joins(build):
    assert Graph.of(build.vis()).tasks() == [
        "cut",
        f"{BRANCH}block.dark",
        f"{BRANCH}cosmics",
        "join",
    ]


def test_a_rank_is_the_longest_walltime_to_the_end(build):
    flow = build.flow(
        build.body(
            build.task("start", "short", a="i"),
            build.task("slow", "long", a="start.x"),
            build.task("quick", "short", a="start.x"),
            build.task("late", "short", a="start.x"),
            build.task("end", "short", a="slow.x", b="quick.x"),
            build.task("alone", "short"),
            result="end.x",
        ),
        build.exe("short", walltime_s=1.0),
        build.exe("long", walltime_s=10.0),
    )
    assert ranks(flow) == {
        "start": 12.0,
        "slow": 11.0,
        "quick": 2.0,
        "late": 1.0,
        "end": 1.0,
        "alone": 1.0,
    }


def test_a_rank_does_not_depend_on_the_order_of_the_calls(build):
    names = ("quick", "short"), ("slow", "long")
    for calls in (names, names[::-1]):
        flow = build.flow(
            build.body(build.task("start", "short"), *(build.task(*c, a="start.x") for c in calls)),
            build.exe("short", walltime_s=1.0),
            build.exe("long", walltime_s=10.0),
        )
        assert ranks(flow)["start"] == 11.0


def test_ranks_lead_through_splits_without_a_time_of_their_own(build):
    assert ranks(build.vis()) == {
        "cut": 4 * 3600.0,
        f"{BRANCH}block.dark": 3 * 3600.0,
        f"{BRANCH}cosmics": 2 * 3600.0,
        "join": 3600.0,
    }
