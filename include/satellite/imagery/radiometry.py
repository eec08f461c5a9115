"""Whether reflectances can be right, by what the scenes show: scale, offset, haze.

Each test and the measurements behind its limits are in decision 39. Two differences of bands tell surfaces apart
whatever was added to all bands: the near infrared minus red, which is large over vegetation alone, and green minus red,
which is not negative there. So an offset cannot hide from the test that looks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np

from include.satellite.imagery.scenes import Layers, Mask, Scene, percent
from include.satellite.imagery.schemas import Radiometry

BANDS = ("blue", "green", "red", "nir")
FEWEST_PIXELS = 50
"""Of clear land, or of dense vegetation, below which nothing is concluded."""
DENSE = 0.15
"""Near infrared minus red, reflectance, from which on a pixel is dense vegetation if it is as green as red."""
DARKEST_RED = 0.09
"""Where the darkest dense vegetation is brighter in red, an offset was left in, or it lies under haze."""
OFFSET = 0.1
"""What baseline 04.00 adds, reflectance."""
LARGEST_ZERO = 10.0
"""Percent of clear land whose green is 0, above which an offset was taken off that was not there."""
BRIGHT = (0.06, 1.2)
"""Reflectance of bright clear land (95th percentile) in the near infrared, between which a scale can be right."""
HAZE_BLUE, HAZE_Z, HAZE_DATES = 0.08, 6.0, 3
"""Median blue over clear land, robust deviations from the series, and fewest dates of a series, for haze."""
SOIL_SLOPE = 1.4
"""Rise of red over that of blue, above which the ground brightened: bare soil, which is no haze, has about 1.9."""
LEAST_DEVIATION = 0.005
"""Of a series, reflectance: few dates may agree by chance, and surface reflectance is held to 0.005 + 5 % at best
(Doxani et al. 2018, https://doi.org/10.3390/rs10020352)."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution whose median absolute deviation is 1."""
BASELINE_0400 = date(2022, 1, 25)
"""From this day on ESA adds 1000 to the numbers of Level-2A products."""
PILE_PIXELS, PILE_RATIO, PILE_BELOW = 10, 5, 10
"""Fewest pixels at the top of a range that are a pile, and how many times those of each of so many values below it."""
REMEDY = "--offset -0.1 takes it off a folder of scenes"


def measure(scene: Scene, inside: Mask) -> Radiometry:
    """Return what a scene's reflectances show over the area.

    Args:
        scene: The scene.
        inside: Which pixels belong to the area, (height, width).
    """
    classes = scene.sensor.classes
    land = scene.data & inside & classes.mask(scene.classes, classes.land)
    pixels, top = int(land.sum()), saturated(scene, inside)
    present = {band.common_name for band in scene.sensor.bands if band.name in scene.bands}
    if pixels < FEWEST_PIXELS or not present.issuperset(BANDS):
        return Radiometry(land=pixels, saturated=top)
    scale = scene.sensor.scale
    blue, green, red, nir = (scene.band(name)[land] for name in BANDS)
    dense = (green >= red) & (nir.astype(np.int32) - red >= DENSE / scale)
    return Radiometry(
        land=pixels,
        saturated=top,
        blue=_percentile(blue, 50, scale),
        red=_percentile(red, 50, scale),
        bright=_percentile(nir, 95, scale),
        dark=_percentile(red[dense], 5, scale) if dense.sum() >= FEWEST_PIXELS else None,
        zero=percent(green <= 1),
    )


def saturated(scene: Scene, inside: Mask) -> float:
    """Return the share of the area's pixels at the top of a band's range, for the band with most, percent.

    Where a range ends, pixels pile up at its largest value: more than `PILE_RATIO` times as many as at a value below.
    """
    pixels, most = scene.data & inside, 0
    for name in scene.sensor.reflectances(scene.bands):
        values = scene.band(name)[pixels]
        top = int(values.max(initial=0))
        piled = int((values == top).sum())
        below = int((values >= max(top - PILE_BELOW, 0)).sum()) - piled
        if piled >= PILE_PIXELS and piled > PILE_RATIO * below / PILE_BELOW:
            most = max(most, piled)
    return round(100 * most / int(pixels.sum()), 4) if most else 0.0


def reflectance_fault(shown: Radiometry) -> str | None:
    """Return why these cannot be reflectances of land, or None."""
    low, high = BRIGHT
    if shown.bright is not None and not low <= shown.bright <= high:
        return (
            f"the brightest clear land reflects {shown.bright:.3f} in the near infrared, where {low:g} to {high:g} can "
            f"be: the scale is wrong; --scale states that of a folder of scenes"
        )
    if shown.zero is not None and shown.zero > LARGEST_ZERO:
        return (
            f"green is 0 on {shown.zero:.1f} % of the clear land, at most {LARGEST_ZERO:g} % can be: an offset was "
            f"taken off that the numbers do not hold; --offset 0 keeps those of a folder of scenes as they are"
        )
    return None


def offset_fault(shown: Radiometry) -> str | None:
    """Return why an offset was left in; None where nothing shows it."""
    if shown.dark is None or shown.dark < DARKEST_RED:
        return None
    return (
        f"the darkest dense vegetation reflects {shown.dark:.3f} in red, where less than {DARKEST_RED:g} is usual: the "
        f"offset of +1000 (processing baseline 04.00) was left in, or it is haze; {REMEDY}"
    )


def series_faults(series: Mapping[date, Radiometry]) -> dict[date, tuple[str, str]]:
    """Return the dates that the series contradicts, each with the name of the test and its evidence.

    Dates before and since baseline 04.00 are judged apart, as their offset is. Where most dates with dense vegetation
    show one, dates without are not used either if they are bright enough to hold it.

    Args:
        series: What each date shows.
    """
    known = {day: shown for day, shown in series.items() if shown.blue is not None}
    single = {day: fault for day, shown in known.items() if (fault := offset_fault(shown))}
    common: dict[date, str] = {}
    for newer in (False, True):
        group = [day for day in known if (day >= BASELINE_0400) is newer]
        tell = [day for day in group if known[day].dark is not None]
        shown = [day for day in tell if day in single]
        if 2 * len(shown) > len(tell):
            words = (
                f"the offset of +1000 was left in on {len(shown)} of {len(tell)} dates with dense vegetation; this one "
                f"has none, and is as bright in blue; {REMEDY}"
            )
            silent = [day for day in group if day not in tell and (known[day].blue or 0) >= OFFSET]
            common |= dict.fromkeys(silent, words) | {day: single[day] for day in shown}
    hazy = haze({day: shown for day, shown in known.items() if day not in common})
    return (
        {day: ("offset", words) for day, words in single.items()}
        | {day: ("haze", words) for day, words in hazy.items()}
        | {day: ("offset", words) for day, words in common.items()}
    )


def haze(series: Mapping[date, Radiometry]) -> dict[date, str]:
    """Return the dates under haze that the scene classification calls clear, each with the evidence.

    Args:
        series: What each date shows, of dates with clear land.
    """
    if len(series) < HAZE_DATES:
        return {}
    medians = np.array([(shown.blue, shown.red) for shown in series.values()], np.float64)
    middle = np.median(medians, axis=0)
    rise = medians - middle
    deviation = max(NORMAL * float(np.median(np.abs(rise[:, 0]))), LEAST_DEVIATION)
    return {
        day: f"clear land reflects {blue:.3f} in blue (median), more than {HAZE_BLUE:g} and {above / deviation:.1f} "
        f"robust deviations above {middle[0]:.3f}, the median of {len(series)} dates, and brightened in red by no more "
        "than that: haze that the scene classification calls clear"
        for day, (blue, _), (above, red) in zip(series, medians.tolist(), rise.tolist(), strict=True)
        if blue > HAZE_BLUE and above > HAZE_Z * deviation and red <= SOIL_SLOPE * above
    }


def _percentile(values: Layers, share: float, scale: float) -> float:
    return round(float(np.percentile(values, share)) * scale, 4)
