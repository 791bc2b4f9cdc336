"""Standardised uptake values of a PET series, where its tags say all that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rep3d.io.dicom.frames import Frame
from rep3d.io.dicom.headers import Unusable, item, number, text

UNITS = {
    "BQML": "Bq/mL",
    "GML": "SUV (g/mL)",
    "CNTS": "counts",
    "CPS": "counts/s",
    "PROPCPS": "proportional to counts/s",
}


def suv_factor(frames: Sequence[Frame]) -> tuple[float | None, str]:
    """By what Bq/mL become SUV by body weight (g/mL), and the unit or why there is none.

    SUV = activity concentration x weight / dose, the dose decayed to the time that the image is corrected to.
    """
    dataset = frames[0].header.dataset
    try:
        units = {text(f.header.dataset, "Units") for f in frames}
        if len(units) > 1:
            return None, "units that differ by slice: " + ", ".join(sorted(units))
        unit = units.pop()
        if unit != "BQML":
            return None, UNITS.get(unit, unit or "an unknown unit")
        corrections = text(dataset, "CorrectedImage").split("\\")
        decay = text(dataset, "DecayCorrection")
        drug = item(dataset, "RadiopharmaceuticalInformationSequence")
        weight = number(dataset, "PatientWeight")
        dose = None if drug is None else number(drug, "RadionuclideTotalDose")
        half_life = None if drug is None else number(drug, "RadionuclideHalfLife")
        if not {"ATTN", "DECY"} <= set(corrections):
            return None, "Bq/mL (no SUV: not corrected for attenuation and decay)"
        if weight is None or not 1 <= weight <= 500:
            return None, "Bq/mL (no SUV: PatientWeight is missing or impossible)"
        if dose is None or not 1e5 <= dose <= 1e11:
            return None, "Bq/mL (no SUV: RadionuclideTotalDose is missing or not in becquerel)"
        if decay == "ADMIN":
            return 1000 * weight / dose, "SUV (g/mL)"
        if decay != "START" or half_life is None or half_life <= 0:
            return None, "Bq/mL (no SUV: DecayCorrection or RadionuclideHalfLife is missing)"
        start = _moment(dataset, "SeriesDate", "SeriesTime")
        acquired = [_moment(f.header.dataset, "AcquisitionDate", "AcquisitionTime") for f in frames]
        if start is None or None in acquired or start > min(acquired):
            return None, "Bq/mL (no SUV: SeriesTime is not the start of the scan)"
        injected = _injection(drug, start)
        if injected is None or not timedelta(0) <= start - injected <= timedelta(hours=12):
            return None, "Bq/mL (no SUV: the time of injection is missing or not before the scan)"
    except Unusable as error:
        return None, f"Bq/mL (no SUV: {error})"
    decayed = dose * 2 ** (-(start - injected).total_seconds() / half_life)
    return 1000 * weight / decayed, "SUV (g/mL)"


def _moment(dataset, date: str, time: str) -> datetime | None:
    return _parse(text(dataset, date) + text(dataset, time)) if text(dataset, date) and text(dataset, time) else None


def _injection(drug, start: datetime) -> datetime | None:
    whole = text(drug, "RadiopharmaceuticalStartDateTime")
    if whole:
        return _parse(whole.split("+")[0].split("-")[0])
    time = text(drug, "RadiopharmaceuticalStartTime")
    return _parse(f"{start:%Y%m%d}{time}") if time else None


def _parse(digits: str) -> datetime | None:
    """A date and time as DICOM writes them: YYYYMMDDHHMMSS.FFFFFF, the end may be missing."""
    main, _, fraction = digits.partition(".")
    try:
        moment = datetime.strptime(main.ljust(14, "0"), "%Y%m%d%H%M%S")
        return moment + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        return None
