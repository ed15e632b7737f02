package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	envAnnotation     = "env"
	fromEnvAnnotation = "from env"
)

// env gives a flag its twin in the environment.
func env(flags *pflag.FlagSet, name, variable string) {
	f := flags.Lookup(name)
	f.Usage += " [" + variable + "]"
	f.Annotations = map[string][]string{envAnnotation: {variable}}
}

// readEnv sets each flag that the command line leaves out from its twin.
func readEnv(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		twin := f.Annotations[envAnnotation]
		if f.Changed || len(twin) == 0 || err != nil {
			return
		}
		if value := os.Getenv(twin[0]); value != "" {
			if setErr := cmd.Flags().Set(f.Name, value); setErr != nil {
				err = fmt.Errorf("%s: %w", twin[0], setErr)
			}
			f.Annotations[fromEnvAnnotation] = nil
		}
	})
	return err
}

// fromEnv says whether a flag's value came from its twin.
func fromEnv(f *pflag.Flag) bool {
	_, ok := f.Annotations[fromEnvAnnotation]
	return ok
}
