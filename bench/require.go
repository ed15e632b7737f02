//go:build require

// Package main names here the programs that a run builds, so that go.mod and
// go.sum know what they need.
package main

import _ "github.com/riposte-dev/riposte/cmd/riposte"
