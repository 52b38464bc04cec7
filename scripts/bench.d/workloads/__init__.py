"""Workloads: one world, told to every engine in its own words. All generators are seeded: same seed, same workload."""

from workloads.base import Question, Ref, Thing, Workload
from workloads.gdrive import gdrive
from workloads.github import github
from workloads.hospital import hospital
from workloads.tinytodo import tinytodo

__all__ = ["Question", "Ref", "Thing", "Workload", "gdrive", "github", "hospital", "tinytodo"]
