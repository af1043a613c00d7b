"""Report check: every statement of a report against every image of a study, or against the figure it names."""

from radfind.report_check.check import ReportCheck, StatementCheck, check_report, report_check_to_wire
from radfind.report_check.figures import Figure, load_figures

__all__ = ["Figure", "ReportCheck", "StatementCheck", "check_report", "load_figures", "report_check_to_wire"]
