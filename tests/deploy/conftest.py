"""What several tests of deploying share."""

import pytest

from tests.deploy.engine import Image, make_image
from tests.deploy.manifests import EXAMPLE, Manifest, put_together


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of the committed Dockerfile."""
    return make_image(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def example() -> list[Manifest]:
    """The manifests of the example for Kubernetes."""
    return put_together(EXAMPLE)
