"""Results that follow what they show, and how long published networks count as fresh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from small_graph import SmallGraph

from dcgan_assets.automation.conditions import RESULTS_SENSOR
from dcgan_assets.definitions import build_definitions


@dataclass
class Watch:
    """Dagster's automation over the small graph, tick by tick."""

    graph: SmallGraph
    instance: dg.DagsterInstance
    cursor: Any = field(default=None)

    def tick(self) -> set[str]:
        """Keys of what is asked for."""
        result = dg.evaluate_automation_conditions(
            build_definitions(self.graph.catalogue()), self.instance, cursor=self.cursor
        )
        self.cursor = result.cursor
        return {
            key.to_user_string() for key in self.graph_keys() if result.get_num_requested(key) > 0
        }

    def graph_keys(self) -> list[dg.AssetKey]:
        return [dg.AssetKey.from_user_string(key) for key in self.graph.catalogue().by_key]


@pytest.fixture
def watch(gated: SmallGraph) -> Iterator[Watch]:
    with gated.instance() as instance:
        yield Watch(gated, instance)


@pytest.mark.slow
def test_figures_follow_a_new_champion_and_not_a_kept_one(watch: Watch) -> None:
    assert watch.tick() == set()
    watch.graph.change(candidate={"healthy": False})
    assert watch.graph.run("toy/candidate", "toy/generator", seed=7).code == 0
    assert watch.tick() == set(), "the champion was kept, and its data version"
    watch.graph.change(candidate={"healthy": True})
    assert watch.graph.run("toy/candidate", "toy/generator", seed=8).code == 0
    assert watch.tick() == {"toy/samples"}
    assert watch.tick() == set()


def test_the_sensor_is_off_and_asks_for_cheap_things_alone(small: SmallGraph) -> None:
    definitions = build_definitions(small.catalogue())
    sensor: Any = definitions.get_repository_def().get_sensor_def(RESULTS_SENSOR)
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    graph = definitions.resolve_asset_graph()
    automated = {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if graph.get(key).automation_condition is not None
    }
    assert automated == {"toy/summary", "toy/samples"}
    assert {key.to_user_string() for key in sensor.asset_selection.resolve(graph)} == automated


@pytest.mark.slow
def test_nothing_follows_what_failed_its_checks(small: SmallGraph) -> None:
    small.only("images", "boxes", "mean", "summary")
    assert small.run().code == 0
    with small.instance() as instance:
        watch = Watch(small, instance)
        assert watch.tick() == set()
        small.write_source("00", 5.0)
        small.change(mean={"limit": 0.5})
        assert small.run("toy/boxes", "toy/mean").code == 1
        assert watch.tick() == set(), "toy/mean was refused"
        small.change(mean={"limit": 100.0})
        assert small.run("toy/mean").code == 0
        assert watch.tick() == {"toy/summary"}


@pytest.mark.parametrize(
    ("retrain", "days"), [("always", 3), pytest.param("when_changed", None, id="no deadline")]
)
def test_networks_are_fresh_for_a_while(small: SmallGraph, retrain: str, days: int | None) -> None:
    small.change(retraining={"retrain": retrain, "fresh_days": 3})
    graph = build_definitions(small.catalogue()).resolve_asset_graph()
    policies = {
        key.to_user_string(): graph.get(key).freshness_policy for key in graph.get_all_asset_keys()
    }
    expected = None
    if days is not None:
        expected = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=days))
    for key, policy in policies.items():
        published = key in {"toy/generator", "toy/discriminator"}
        assert policy == (expected if published else None), key
