# The targets that people use:
#   make test      everything that must hold, offline once the modules are there
#   make build     bin/riposte, static
#   make generate  gen/ from proto/
#   make bench     the Go benchmarks

GO    ?= go
TOOL  := $(GO) tool -modfile=tools/go.mod
# Outside CI, name one: make test TESTFLAGS='-run TestDelivery'
TESTFLAGS ?=

.PHONY: test
test: needs lint stale
	$(GO) test -race -timeout 20m $(TESTFLAGS) ./...

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
	$(TOOL) buf lint

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

.PHONY: bench
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
