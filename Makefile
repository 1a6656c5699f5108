# The course in a few commands. Each makes its own environment first, in .venv, from
# requirements.txt; nothing else on the machine is touched.
#
#   make book              render the book to _build/html, from stored outputs
#   make pdf               the book as one PDF, in _build/html/downloads; needs Chromium
#   make offline           book, notebooks and package as one archive, in the same folder
#   make slides            the slides alone, to _build/html/slides; make book has them too
#   make test              unit tests, doctests, lint, and every notebook at quick scale
#   make lab               open JupyterLab
#   make run [NB=file]     re-execute notebooks at full scale and store their outputs
#   make coursework        assignments to give out, in _build/coursework or COURSE=folder;
#                          YEAR=2027 draws other constants, PACKAGE= names the address
#                          of the package
#   make grade-demo        a made-up class: collect, grade, feedback, table of grades
#   make test-coursework   whole gradings in kernels, which make test leaves out
#   make test-colab        every notebook with the versions that Colab has, about an hour;
#                          needs python3.12
#   make test-crash        twenty runs on own pictures, killed anywhere and resumed
#   make links             ask every external address of the book whether it is there
#   make bench             time the package against plain Keras, PyTorch, other recipes
#
# Another interpreter: make PYTHON=python3.12 book

PYTHON ?= python3
BIN = .venv/bin
NB ?=
COURSE ?= _build/coursework
YEAR ?= 2026
PACKAGE ?=
QUIET ?= -q

# Tests run in two processes, a file at a time, each of them with one thread for NumPy:
# on two cores more would wait for one another.
PARALLEL = -n 2 --dist loadfile
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: env book pdf offline slides test lab run coursework grade-demo test-coursework test-colab test-crash links bench lock clean

env: .venv/ready

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), \
	    f'Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 ...'"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(QUIET) --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install $(QUIET) --disable-pip-version-check --no-deps -e .
	touch $@

book: env
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book is at _build/html/index.html"

pdf: book
	$(BIN)/python _ext/pdf.py

offline: book
	$(BIN)/python _ext/archive.py

slides: env
	$(BIN)/python _ext/slides.py

test: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(ONE_THREAD) $(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term
	$(ONE_THREAD) SSLKIT_SCALE=quick $(BIN)/python -m pytest $(PARALLEL) --nbval-lax \
	    --nbval-cell-timeout=300 chapters

lab: env
	$(BIN)/jupyter-lab

run: env
	$(BIN)/python _ext/run_notebooks.py $(NB)

coursework: env
	$(BIN)/python coursework/course.py release --course $(COURSE) --year $(YEAR) \
	    $(if $(PACKAGE),--package "$(PACKAGE)")
	$(BIN)/python coursework/quizzes.py $(COURSE)/quizzes

grade-demo: env
	$(BIN)/python coursework/demo.py

test-coursework: env
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadgroup -m grading \
	    tests/test_grading.py tests/test_coursework.py

test-colab: env
	python3.12 -c ""  # Without it pytest would skip them all.
	$(ONE_THREAD) $(BIN)/python -m pytest -m colab tests/test_launch.py

test-crash: env
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -m crash tests/test_pretrain.py

links: env
	$(BIN)/python _ext/links.py

bench: env
	$(BIN)/python benchmarks/dense_autoencoder.py
	$(BIN)/python benchmarks/convolutional_vae.py
	$(BIN)/python benchmarks/dcgan.py
	$(BIN)/python benchmarks/simclr.py
	$(BIN)/python benchmarks/simclr_to_accuracy.py

# Writes requirements.txt anew from the ranges in pyproject.toml; needs uv.
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra book \
	    --extra coursework --extra test --upgrade --no-emit-index-url \
	    --no-emit-find-links --no-annotate \
	    --custom-compile-command "make lock" --output-file requirements.txt

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .coverage

# The same tests with the lowest versions that pyproject.toml admits.
.PHONY: test-lowest
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install $(QUIET) uv
	.venv-lowest/bin/uv pip install $(QUIET) --python .venv-lowest --resolution lowest-direct \
	    -e ".[book,coursework,test]"
	$(ONE_THREAD) .venv-lowest/bin/python -m pytest $(PARALLEL)
	$(ONE_THREAD) SSLKIT_SCALE=quick .venv-lowest/bin/python -m pytest $(PARALLEL) \
	    --nbval-lax --nbval-cell-timeout=300 chapters
