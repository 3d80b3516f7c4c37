"""What a fit on many samples will take on this machine: time, memory and disk of each stage."""

from skscan.planning.machine import Machine, measure_machine
from skscan.planning.plan import Plan, Stage, plan_fit

__all__ = ["Machine", "Plan", "Stage", "measure_machine", "plan_fit"]
