# Every target is a verb of scripts/make.py, which brings the environment it needs.
# PYTHON names the interpreter to start from; 3.11 to 3.13 is found by itself where it exists.

PYTHON ?= python3
export DATA ONESHOT STATE IN OUT ARGS Q K JSON KIND SINCE UNTIL SOURCE

TARGETS = help run judge search airflow test lint docs bench chaos test-services clean

.PHONY: $(TARGETS)
.DEFAULT_GOAL = help

$(TARGETS):
	@exec "$(PYTHON)" scripts/make.py $@
