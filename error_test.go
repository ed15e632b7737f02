package riposte_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

func TestErrorWithMetadataStillMatchesItsSentinel(t *testing.T) {
	err := fmt.Errorf("creating instances: %w", riposte.ErrRequestIDReused.With("index", "3"))
	if !errors.Is(err, riposte.ErrRequestIDReused) {
		t.Error("it does not")
	}
	if errors.Is(err, riposte.ErrConflict) {
		t.Error("it matches another one")
	}
}

func TestWithAddsToACopyAndTheLastValueCounts(t *testing.T) {
	one := riposte.ErrRequestIDReused.With("index", "1").With("sameDocument", "true")
	two := one.With("index", "2")
	if riposte.ErrRequestIDReused.Metadata != nil {
		t.Errorf("the sentinel has the metadata %v", riposte.ErrRequestIDReused.Metadata)
	}
	if diff := cmp.Diff(map[string]string{"index": "1", "sameDocument": "true"}, one.Metadata); diff != "" {
		t.Errorf("one: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"index": "2", "sameDocument": "true"}, two.Metadata); diff != "" {
		t.Errorf("two: -want +got\n%s", diff)
	}
}

func TestInvalidNamesEveryField(t *testing.T) {
	err := riposte.Invalid(riposte.Violation{Field: "a", Description: "must be set"}, riposte.Violation{Field: "b", Description: "must be 1"})
	if got, want := err.Error(), "a must be set; b must be 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err.Code != riposte.CodeInvalidArgument {
		t.Errorf("the code is %d", err.Code)
	}
}
