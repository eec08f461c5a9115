"""`python -m include.standins.sentinel_hub`: the stand-in as a command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from include.standins.sentinel_hub.folder import SceneFolder
from include.standins.sentinel_hub.masks import MASK_TYPES
from include.standins.sentinel_hub.scenes import Scenes
from include.standins.sentinel_hub.server import HOST, ServerSettings, serve
from include.standins.sentinel_hub.simulator import WORLDS, Simulator


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m include.standins.sentinel_hub", description=__doc__)
    parser.add_argument("--scenes", type=Path, metavar="DIR", help="a folder of GeoTIFFs instead of the simulator")
    parser.add_argument("--mask-type", choices=MASK_TYPES, help="what the masks of the folder are (default: scl)")
    parser.add_argument("--scale", type=float, metavar="S", help="of the scenes: reflectance = number × S + O")
    parser.add_argument("--offset", type=float, metavar="O", help="of the scenes, reflectance (1000 added: -0.1)")
    parser.add_argument("--band-names", default="", metavar="NAMES", help="of the scenes, in order: B02,B03,B04,B08")
    parser.add_argument("--world", choices=WORLDS, default="standard", help="of the simulator (default: standard)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulator (default: 0)")
    parser.add_argument("--port", type=int, default=0, help="where it listens (default: a free one)")
    parser.add_argument("--host", default=HOST, help="address to listen on (default: %(default)s)")
    parser.add_argument("--rate-limit", type=int, default=0, metavar="N", help="requests a minute, and two at once")
    parser.add_argument("--latency-ms", type=int, default=0, metavar="N", help="that each answer takes longer")
    options = parser.parse_args(arguments)
    try:
        if options.scenes:
            names = options.band_names.split(",") if options.band_names else ()
            scenes: Scenes = SceneFolder(options.scenes, options.mask_type, options.scale, options.offset, names)
        else:
            scenes = Simulator(options.world, options.seed)
        settings = ServerSettings(rate_limit=options.rate_limit, latency=options.latency_ms / 1000)
        serve(scenes, settings, options.port, options.host)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command's message
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
