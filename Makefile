# make reproduce [TIER=smoke|lite|full]   set up if needed, then run every notebook headless
# make tables [TIER=smoke|lite|full] [SEEDS=5]     every table of the paper: train what is missing, then the notebooks
# make table-7 [TIER=...] [SEEDS=5]       one table; either way DRY=1 only says what would be done, JOBS=2 limits the cores
# make test                               set up if needed, then run the tests
# make lint                               set up if needed, then check form, format and types of the code
# make wheelhouse                         every pinned package as a file, for machines without a network
# make book                               set up if needed, then write all notebooks as one site that needs no kernel (runs/book)
# make lab                                set up if needed, then open JupyterLab on your own copies of the notebooks
PYTHON ?= python3
TIER ?= lite
SEEDS ?= 5
JOBS ?= all
DRY ?=
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup wheelhouse reproduce tables test lint lab book weights studies notebooks cards clean

setup:
	@$(PYTHON) setup_environment.py

wheelhouse:
	@$(PYTHON) setup_environment.py wheelhouse

reproduce: setup
	@python -m dcac_lite reproduce --tier $(TIER)

# what fails is left out the second time, and the tables show the hole
BATCH = snakemake --cores $(JOBS) $(if $(DRY),-n,--quiet progress rules host reason) --config tier=$(TIER) seeds=$(SEEDS)

tables: setup
	@trap 'exit 130' INT; $(BATCH) || { $(if $(DRY),,$(BATCH) holes=yes;) exit 1; }

table-%: setup
	@trap 'exit 130' INT; $(BATCH) tables=$* || { $(if $(DRY),,$(BATCH) tables=$* holes=yes;) exit 1; }

test: setup
	@python -m pytest -n logical --dist loadfile

lint: setup
	@ruff check . && ruff format --check . && pyright

lab: setup
	@python -m dcac_lite lab

book: setup
	@python -m dcac_lite book

# maintainers: pre-train the shipped weights again, redo the studies, refresh the committed notebooks, measure for the cards
weights: setup
	@python -m dcac_lite weights make runs/weights

studies: setup
	@for study in baseline-tuning epochs-tuning scheme-tuning comparison; do python -m dcac_lite study --in-place $$study || exit 1; done
	@python -m dcac_lite cam-study --in-place

notebooks: setup
	@python -m dcac_lite reproduce --in-place

cards: setup
	@python -m dcac_lite world report --sources MA MS --out figures/results/world-report.csv
	@python -m dcac_lite cards --measure

clean:
	rm -rf .venv data runs
