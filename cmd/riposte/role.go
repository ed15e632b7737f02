package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// roleFlags say what a new key or client is good for.
type roleFlags struct {
	role      string
	expiresIn time.Duration
	rateLimit int32
}

func (f *roleFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.role, "role", "", "admin, sender or viewer")
	_ = cmd.MarkFlagRequired("role")
	cmd.Flags().DurationVar(&f.expiresIn, "expires-in", 0, "refuse it after this `time`, such as 720h (default: it counts until it is revoked)")
	cmd.Flags().Int32Var(&f.rateLimit, "rate-limit", 0, "calls per second that each node takes, on average; 0 for no bound")
}

// expiresAt is zero for never.
func (f *roleFlags) expiresAt(cmd *cobra.Command, now time.Time) (time.Time, error) {
	switch {
	case !cmd.Flags().Changed("expires-in"):
		return time.Time{}, nil
	case f.expiresIn <= 0:
		return time.Time{}, usagef("--expires-in must be more than 0, such as 720h, not %s", f.expiresIn)
	}
	return now.Add(f.expiresIn), nil
}

func (f *roleFlags) message() ripostev1.Role {
	return ripostev1.Role(ripostev1.Role_value["ROLE_"+strings.ToUpper(f.role)])
}
