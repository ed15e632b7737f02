# The targets that people use:
#   make test      everything that must hold, offline once the modules, npm's
#                  packages, a C compiler, PostgreSQL, Chromium, Node.js and PyJWT are
#                  there; as root it brings the programs among them
#   make test-long the tests of whole servers at their full counts, in an hour
#   make build     bin/riposte, static
#   make release   bin/release: binaries for each platform, SBOMs, licences, checksums
#   make audit     what the supply chain must keep to, in ten minutes: known
#                  vulnerabilities, gosec, licences, and that a release is reproducible
#   make generate  gen/ from proto/
#   make bench     the figures of docs/performance.md, in two hours; less of them:
#                  make bench SYSTEMS=limit,riposte SCENARIO=a,c
#   make seed DATA=dir [N=1000000]
#                  a new data directory with many instances, to look at the console
#   make deploy-check
#                  the manifests of deploy/, by the types of those who read them
#   make receivers the receivers of docs/receivers.md, in three languages
#   make browser   the console's tests in Chromium, as make test runs them
#   make interop   OAuth clients of others against a whole server, as make test runs
#                  them; npm is brought like Chromium
#   make screenshots
#                  every screen of the console, light and dark, wide and on a phone,
#                  into browser/screenshots/out
#   make bench-go  the Go benchmarks of the hot pieces, to compare by benchstat

GO    ?= go
TOOL  := $(GO) tool -modfile=tools/go.mod
# Outside CI, name one: make test TESTFLAGS='-run TestDelivery'
TESTFLAGS ?=

.PHONY: test
test: needs lint stale
	scripts/receivers
	RIPOSTE_TEST_RECEIVERS=1 scripts/postgres $(GO) test -race -timeout 20m $(TESTFLAGS) ./...
	$(MAKE) --no-print-directory bench-smoke browser interop

# What the normal run does a tenth of, or less.
.PHONY: test-long
test-long: needs
	RIPOSTE_TEST_LONG=1 scripts/postgres $(GO) test -race -count=1 -timeout 3h $(TESTFLAGS) ./e2e ./examples/accessrequest ./outbound

# The race detector needs a C compiler.
.PHONY: needs
needs:
	@scripts/needs gcc

.PHONY: lint
lint:
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go' ':!gen')); \
	  if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) mod verify >/dev/null
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	$(GO) -C bench vet ./...
	cd bench && $(GO) tool -modfile=../tools/go.mod staticcheck ./...
	$(GO) -C browser vet ./...
	cd browser && $(GO) tool -modfile=../tools/go.mod staticcheck ./...
	$(GO) -C interop vet ./...
	cd interop && $(GO) tool -modfile=../tools/go.mod staticcheck ./...
	$(TOOL) buf lint

# Newer versions bring the clients of several clouds, into the very tool that is here
# for the supply chain. What is left out: G104 takes each Close on a way out for a lost
# error; G304 each file that the operator names for one that an attacker does; and below
# medium confidence G101 takes names for secrets.
.PHONY: gosec
gosec:
	$(TOOL) gosec -quiet -exclude=G104,G304 -confidence=medium -exclude-generated \
	  -exclude-dir=gen -exclude-dir=bench -exclude-dir=browser -exclude-dir=interop -exclude-dir=deploy ./...

.PHONY: generate
generate:
	scripts/generate .

# Fails when gen/ is not what proto/ says.
.PHONY: stale
stale:
	@scripts/stale

.PHONY: build
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/riposte ./cmd/riposte

.PHONY: release
release:
	scripts/release bin/release

.PHONY: reproducible
reproducible:
	scripts/reproducible

# The licences are part of make test, too; the others take minutes or the network.
.PHONY: audit
audit: gosec
	scripts/vulnerabilities
	$(GO) test -count=1 -run License .
	scripts/reproducible

# As make test runs them.
.PHONY: receivers
receivers:
	scripts/receivers
	RIPOSTE_TEST_RECEIVERS=1 $(GO) test -race -count=1 $(TESTFLAGS) ./examples/receivers

# Needs a quiet machine, 10 GiB of disk, and PostgreSQL, which the script brings.
# The tables are printed, and bench/figures.json has what they are made of.
.PHONY: bench
bench:
	scripts/postgres $(GO) -C bench run . -json figures.json $(if $(SYSTEMS),-systems $(SYSTEMS)) $(if $(SCENARIO),-scenario $(SCENARIO))

# Nothing in there becomes due for weeks, because nobody is there to be asked.
.PHONY: seed
seed:
	@test -n '$(DATA)' || { echo 'usage: make seed DATA=dir [N=1000000]' >&2; exit 2; }
	$(GO) -C bench run . -seed '$(abspath $(DATA))' $(if $(N),-n $(N))

# Every scenario, tiny, for its books and not for its times. Not cached: Go does
# not know of the programs that it builds and runs.
.PHONY: bench-smoke
bench-smoke:
	scripts/postgres $(GO) -C bench test -count=1 -timeout 10m .

# A module of its own, so that the product does not depend on what drives a browser.
.PHONY: browser
browser:
	@scripts/needs chromium
	$(GO) -C browser test -race -timeout 20m $(TESTFLAGS) ./...

# A module of its own, so that the product does not depend on who calls it. Not
# cached: Go does not know of what npm installs.
.PHONY: interop
interop:
	@scripts/needs npm
	scripts/npm-ci interop/node
	$(GO) -C interop test -count=1 -timeout 10m $(TESTFLAGS) ./...

.PHONY: screenshots
screenshots:
	@scripts/needs chromium
	$(GO) -C browser run ./screenshots

# A module of its own: the types of Kubernetes take minutes to compile.
.PHONY: deploy-check
deploy-check:
	$(GO) -C deploy/check test -count=1 ./...

.PHONY: bench-go
bench-go:
	$(GO) test -run '^$$' -bench . -benchmem $(TESTFLAGS) ./...
