import pytest

from tests.local.supervisor.scene import scene_in


@pytest.fixture
async def scene(tmp_path):
    async with scene_in(tmp_path) as scene:
        yield scene
