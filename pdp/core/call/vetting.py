"""The vetting of a server for policy: its package, and the results of the package's examinations."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.bytes.digest import Json

EXAMINATIONS = ("static", "dependencies", "dynamic")


@dataclass(frozen=True, slots=True)
class Examination:
    """The result of one examination of a package. The default: none was made."""

    result: str = "none"  # "passed" | "accepted" (its errors were) | "failed" | "none"
    performed_ns: int = 0

    def fact(self) -> dict[str, Json]:
        return {"result": self.result, "performed_ns": self.performed_ns}


NOT_EXAMINED = Examination()


@dataclass(frozen=True, slots=True)
class PackageVetting:
    """The vetting of the package that a server runs, as signed. The defaults are the worst."""

    status: str = "none"  # "vetted" | "expired" | "none"
    package: str | None = None
    sha256: str | None = None
    reviewed_by: str | None = None
    expires_ns: int = 0
    static: Examination = NOT_EXAMINED
    dependencies: Examination = NOT_EXAMINED
    dynamic: Examination = NOT_EXAMINED

    def fact(self) -> dict[str, Json]:
        return {
            "status": self.status,
            "package": self.package,
            "sha256": self.sha256,
            "reviewed_by": self.reviewed_by,
            "expires_ns": self.expires_ns,
            "static": self.static.fact(),
            "dependencies": self.dependencies.fact(),
            "dynamic": self.dynamic.fact(),
        }


NOT_VETTED = PackageVetting()
