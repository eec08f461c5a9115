"""Whether reflectances can be right, by what the scenes show: scale, offset, haze, the order of the bands.

Each test and the measurements behind its limits are in decision 39. Two differences of bands tell surfaces apart
whatever was added to all bands: the near infrared minus red, which is large over vegetation alone, and green minus red,
which is not negative there. So an offset cannot hide from the test that looks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray

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
BRIGHTEST_CANOPY = 0.8
"""Dense vegetation (95th percentile) reflects less in the near infrared."""
MOST_INVERTED = 10.0
"""Percent of clear pixels that reflect more visible light than near infrared, as hardly any surface does."""
MOST_CLIPPED = 0.5
"""Percent of clear land at the top of every band's range: numbers were stretched for display."""
LEAST_FLOOR = 0.08
"""The darkest band of clear land (5th percentile) reflects more where an offset of 0.1 was left in."""
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
LUSH = 0.3
"""Near infrared above the brightest visible band, reflectance, from which on a pixel is a lush canopy."""
BARE, BARE_DARKEST = 0.12, 0.06
"""Bare soil: the near infrared is the brightest band by less than this, and the brightest visible one above that."""
MOST_REDDER = LEAST_GREENEST = LEAST_BLUEST = MOST_BLUER = MOST_ROTATED = 80.0
"""Percent of pixels, median of the dates: a lush canopy is not redder than green, nor bare soil bluer than red beside
a canopy that is greenest, nor bare soil greener than blue and bluer than red beside a canopy that is bluest."""
ORDER_DATES = 2
"""Fewest dates that tell the order of the bands: leaves of one autumn day may be redder than green."""
REMEDY = "--offset -0.1 takes it off a folder of scenes"


def measure(scene: Scene, inside: Mask) -> Radiometry:
    """Return what a scene's reflectances show over the area.

    Args:
        scene: The scene.
        inside: Which pixels belong to the area, (height, width).
    """
    classes = scene.sensor.classes
    land = scene.data & inside & classes.mask(scene.classes, classes.land)
    pixels, top = int(land.sum()), max(_piled(scene, scene.data & inside))
    present = {band.common_name for band in scene.sensor.bands if band.name in scene.bands}
    if not present.issuperset(BANDS):
        return Radiometry(land=pixels, saturated=top)
    inverted = _inverted(scene, scene.clear & inside)
    if pixels < FEWEST_PIXELS:
        return Radiometry(land=pixels, saturated=top, inverted=inverted)
    scale = scene.sensor.scale
    visible = blue, green, red, nir = [scene.band(name)[land] for name in BANDS]
    dense = (green >= red) & (nir.astype(np.int32) - red >= DENSE / scale)
    has_canopy = dense.sum() >= FEWEST_PIXELS
    return Radiometry(
        land=pixels,
        saturated=top,
        inverted=inverted,
        clipped=min(_piled(scene, land)),
        floor=min(_percentile(band, 5, scale) for band in visible),
        blue=_percentile(blue, 50, scale),
        red=_percentile(red, 50, scale),
        bright=_percentile(nir, 95, scale),
        dark=_percentile(red[dense], 5, scale) if has_canopy else None,
        canopy=_percentile(nir[dense], 95, scale) if has_canopy else None,
        zero=percent(green <= 1),
        **_order(np.stack(visible).astype(np.int32), scale),
    )


def _order(bands: NDArray[np.int32], scale: float) -> dict[str, float | None]:
    """Return what tells visible bands apart. Which pixels are taken does not depend on which of the bands is which.

    Args:
        bands: Blue, green, red and near infrared over clear land, (4, N).
        scale: Of the numbers.
    """
    blue, green, red, nir = bands
    brightest = bands[:3].max(axis=0)
    above = nir - brightest
    lush = above >= LUSH / scale
    bare = (above > 0) & (above < BARE / scale) & (brightest > BARE_DARKEST / scale)
    has_lush, has_bare = lush.sum() >= FEWEST_PIXELS, bare.sum() >= FEWEST_PIXELS
    return {
        "redder": percent((red > green)[lush]) if has_lush else None,
        "greenest": percent((np.minimum(green - red, green - blue) > 0)[lush]) if has_lush else None,
        "bluest": percent((np.minimum(blue - red, blue - green) > 0)[lush]) if has_lush else None,
        "bluer": percent((blue > red)[bare]) if has_bare else None,
        "rotated": percent(((green > blue) & (blue > red))[bare]) if has_bare else None,
    }


def _piled(scene: Scene, pixels: Mask) -> list[float]:
    """Return the share of some pixels at the top of the range of each band of reflectances, percent.

    Where a range ends, pixels pile up at its largest value: more than `PILE_RATIO` times as many as at a value below.
    """
    shares = []
    for name in scene.sensor.reflectances(scene.bands):
        values = scene.band(name)[pixels]
        top = int(values.max(initial=0))
        piled = int((values == top).sum())
        below = int((values >= max(top - PILE_BELOW, 0)).sum()) - piled
        is_pile = piled >= PILE_PIXELS and piled > PILE_RATIO * below / PILE_BELOW
        shares.append(round(100 * piled / values.size, 4) if is_pile else 0.0)
    return shares


def _inverted(scene: Scene, clear: Mask) -> float:
    """Return the share of clear pixels that reflect more visible light than near infrared, by `DENSE`, percent.

    Over water only red counts: shallow water may be bright in blue and green.
    """
    blue, green, red, nir = (scene.band(name)[clear].astype(np.int32) for name in BANDS)
    classes = scene.sensor.classes
    water = classes.mask(scene.classes, classes.water)[clear]
    brightest = np.where(water, red, np.maximum(np.maximum(blue, green), red))
    return percent(brightest - nir >= DENSE / scene.sensor.scale)


def reflectance_fault(shown: Radiometry) -> str | None:
    """Return why these cannot be reflectances of land, or None."""
    low, high = BRIGHT
    if shown.clipped > MOST_CLIPPED and low <= (shown.bright or 0):  # small numbers pile up everywhere
        return (
            f"{shown.clipped:.1f} % of the clear land are at the top of every band's range: the numbers were "
            "stretched for display, and are no reflectance; take the scenes as they were before"
        )
    if shown.inverted > MOST_INVERTED:
        return (
            f"{shown.inverted:.1f} % of the clear pixels reflect {DENSE:g} more visible light than near infrared, as "
            "hardly any surface does: bands are interchanged; --band-names names those of a folder of scenes"
        )
    if shown.canopy is not None and shown.canopy > BRIGHTEST_CANOPY:
        return (
            f"dense vegetation reflects {shown.canopy:.3f} in the near infrared (95th percentile), where at most "
            f"{BRIGHTEST_CANOPY:g} can be: the scale is wrong; --scale states that of a folder of scenes"
        )
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
    found = f"the darkest dense vegetation reflects {shown.dark:.3f} in red, where less than {DARKEST_RED:g} is usual"
    if shown.floor is not None and shown.floor < LEAST_FLOOR:
        return (
            f"{found}, and the darkest band {shown.floor:.3f}, too little for an offset of 0.1 in all: it is haze, or "
            "the scale is wrong; --scale states that of a folder of scenes"
        )
    return f"{found}: the offset of +1000 (processing baseline 04.00) was left in, or it is haze; {REMEDY}"


def series_faults(series: Mapping[date, Radiometry]) -> dict[date, tuple[str, str]]:
    """Return the dates that the series contradicts, each with the name of the test and its evidence.

    Dates before and since baseline 04.00 are judged apart, as their offset is; a scale is that of all. Where most dates
    with dense vegetation show an offset, dates without are not used either if they are bright enough to hold it.

    Args:
        series: What each date shows.
    """
    known = {day: shown for day, shown in series.items() if shown.blue is not None}
    scaled = _scale_faults(known)
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
    interchanged = order_fault(known)
    ordered = dict.fromkeys(known, ("band order", interchanged)) if interchanged else {}
    hazy = haze({day: shown for day, shown in known.items() if day not in common | scaled})
    return (
        {day: ("offset", words) for day, words in single.items()}
        | {day: ("haze", words) for day, words in hazy.items()}
        | {day: ("offset", words) for day, words in common.items()}
        | ordered
        | {day: ("scale", words) for day, words in scaled.items()}
    )


def order_fault(series: Mapping[date, Radiometry]) -> str | None:
    """Return why visible bands are interchanged; None where nothing shows it.

    A lush canopy is greener than red, at the top of the atmosphere too. Bare soil reflects the more, the longer the
    wave; the atmosphere turns that round, and makes a canopy bluer than green as well, but no soil that is greener than
    blue and bluer than red: where blue exceeds red through the atmosphere, it exceeds green.
    """
    if (share := _median(series, "redder")) > MOST_REDDER:
        return _interchanged(
            series, "redder", f"a lush canopy is redder than green on {share:.0f} %", "green and red (or blue)"
        )
    if _median(series, "greenest") > LEAST_GREENEST and (share := _median(series, "bluer")) > MOST_BLUER:
        return _interchanged(series, "bluer", f"bare soil is bluer than red on {share:.0f} %", "blue and red")
    if _median(series, "bluest") > LEAST_BLUEST and (share := _median(series, "rotated")) > MOST_ROTATED:
        words = f"beside a canopy that is bluest, bare soil is greener than blue and bluer than red on {share:.0f} %"
        return _interchanged(series, "rotated", words, "blue, green and red")
    return None


def _interchanged(series: Mapping[date, Radiometry], share: str, found: str, names: str) -> str:
    return (
        f"{found} of the pixels (median of {len(_shares(series, share))} dates), as it is not: the bands {names} are "
        "interchanged; --band-names names those of a folder of scenes"
    )


def order_not_tested(series: Mapping[date, Radiometry]) -> str | None:
    """Return which visible bands may be interchanged without being noticed, and why; None where the series tells."""
    redder, bluer = _shares(series, "redder"), _shares(series, "bluer")
    lacking = []
    if len(redder) < ORDER_DATES:
        lacking.append(f"green and red (a lush canopy on {len(redder)} of {len(series)} dates)")
    if min(len(redder), len(bluer)) < ORDER_DATES:
        lacking.append(
            f"blue and red, or all three (bare soil on {len(bluer)} of {len(series)} dates, beside a lush canopy)"
        )
    if not lacking:
        return None
    return f"whether bands are interchanged is not tested for {', nor for '.join(lacking)}; {ORDER_DATES} dates tell it"


def order_in_doubt(series: Mapping[date, Radiometry]) -> str | None:
    """Return what a canopy that is bluest may mean where `order_fault` finds nothing; None where green is brightest."""
    if (share := _median(series, "bluest")) <= LEAST_BLUEST:
        return None
    return (
        f"a lush canopy is bluer than green and red on {share:.0f} % of the pixels (median of "
        f"{len(_shares(series, 'bluest'))} dates), as at the top of the atmosphere, and where blue and green, or all "
        "three, are interchanged: these scenes do not tell which, and NDVI is wrong if blue stands for red; "
        "--band-names names the bands of a folder of scenes"
    )


def _median(series: Mapping[date, Radiometry], share: str) -> float:
    """Return the median of a share over the dates that have it, percent; 0 where too few do."""
    shares = _shares(series, share)
    return float(np.median(shares)) if len(shares) >= ORDER_DATES else 0.0


def _shares(series: Mapping[date, Radiometry], share: str) -> list[float]:
    """Return a share, by its name in `Radiometry`, of the dates that have it."""
    return [value for shown in series.values() if (value := getattr(shown, share)) is not None]


def _scale_faults(series: Mapping[date, Radiometry]) -> dict[date, str]:
    """Return all dates where dense vegetation is too bright on most dates that have some: one scale holds for all."""
    canopies = [shown.canopy for shown in series.values() if shown.canopy is not None]
    bright = sum(canopy > BRIGHTEST_CANOPY for canopy in canopies)
    if 2 * bright <= len(canopies):
        return {}
    words = (
        f"dense vegetation reflects more than {BRIGHTEST_CANOPY:g} in the near infrared on {bright} of {len(canopies)} "
        "dates that have some: the scale is wrong; --scale states that of a folder of scenes"
    )
    return dict.fromkeys(series, words)


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
