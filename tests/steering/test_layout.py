"""Places of sites in a flat tensor."""

import torch

from htbench.core.types import Site
from htbench.steering.layout import Layout, union

A, B, C = Site("a"), Site("b"), Site("c")


def test_a_flat_tensor_is_split_into_views_and_joined_again() -> None:
    layout, flat = Layout.of({B: 2, A: 3}), torch.arange(10.0).view(2, 5)
    parts = layout.split(flat)
    assert torch.equal(parts[A], flat[:, 2:])
    assert torch.equal(layout.join(parts), flat)
    parts[B].zero_()
    assert not flat[:, layout.spans[B]].any()


def test_a_union_has_each_site_once_at_its_first_place() -> None:
    assert union(Layout.of({B: 2, A: 3}), Layout.of({C: 1, B: 2})) == Layout.of({B: 2, A: 3, C: 1})


def test_layouts_of_other_orders_are_not_equal() -> None:
    assert Layout.of({A: 1, B: 1}) != Layout.of({B: 1, A: 1})
