package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
	"github.com/riposte-dev/riposte/vault"
)

func newDevCommand() *cobra.Command {
	config := server.Default()
	config.Data = ""
	config.AllowDestinations = "loopback"
	config.ConsoleOpen = true
	config.RetryMinDelay, config.RetryMaxDelay = 300*time.Millisecond, time.Second
	var once bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "See it work: a server, a receiver and a short show on loopback",
		Long: `Run a server on loopback with throw-away data and a scripted receiver beside it.
It asks one question from each source, prints each one's way from state to state
as it happens, and then stays up with curl lines to try.

With --tls the server takes https alone, with a certificate by an authority that it
makes for itself and that may speak for this machine alone. What has to trust it, and
how, is printed. It is a new one each time unless --data keeps it, for a year.

Deliveries may go to loopback, over http and to any port. RIPOSTE_API_KEY sets
the admin key; without it one is made and printed. Retries come sooner than in
serve, so that the show is short.`,
		Example: `  riposte dev
  riposte dev --once                  end after the show; exit 0 only if all came out as it should
  riposte dev --data ./riposte-dev    keep what happens
  riposte dev --tls --data ./riposte-dev`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once && !cmd.Flags().Changed("listen") && os.Getenv("RIPOSTE_LISTEN") == "" {
				config.Listen = "127.0.0.1:0" // beside whatever else runs
			}
			config.APIKey, config.MasterKey = os.Getenv("RIPOSTE_API_KEY"), os.Getenv("RIPOSTE_MASTER_KEY")
			config.Logger = newLogger(cmd.ErrOrStderr())
			return dev(cmd.Context(), config, once, cmd.OutOrStdout())
		},
	}
	serverFlags(cmd, &config)
	cmd.Flags().Lookup("data").Usage = "data `directory` to keep (default throw-away) [RIPOSTE_DATA]"
	cmd.Flags().BoolVar(&config.TLSDevelopment, "tls", false, "serve https, with a certificate authority of its own")
	cmd.Flags().BoolVar(&once, "once", false, "end after the show")
	return cmd
}

func dev(ctx context.Context, config server.Config, once bool, out io.Writer) (err error) {
	ctx, stop := untilSignal(ctx)
	defer stop()
	if config.Data == "" {
		if config.Data, err = os.MkdirTemp("", "riposte-dev-"); err != nil {
			return fmt.Errorf("making a throw-away data directory: %w", err)
		}
		defer os.RemoveAll(config.Data)
		config.MasterKey = vault.NewMaster() // no file of it is left, and no warning of one
	}
	if config.APIKey == "" {
		if _, config.APIKey, err = riposte.NewKey("dev", riposte.RoleAdmin, time.Now()); err != nil {
			return err
		}
	}
	receiver, err := ripostetest.NewReceiver(playReceiver)
	if err != nil {
		return fmt.Errorf("starting the receiver: %w", err)
	}
	defer receiver.Close()
	s, err := open(ctx, config)
	if err != nil {
		return err
	}
	trust, err := newTrust(config)
	if err != nil {
		return err
	}
	receiver.Trust(trust.roots)
	return withServer(ctx, s, out, func(ctx context.Context) error {
		show := newShow(s, receiver, config.APIKey, out)
		show.trust = trust
		err := show.play(ctx)
		if once || err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			show.invite()
		}
		<-ctx.Done()
		return nil
	})
}

// withServer runs the server while do works, and stops it cleanly afterwards.
func withServer(ctx context.Context, s *server.Server, out io.Writer, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	var served error
	running.Go(func() {
		defer cancel()
		served = s.Run(ctx)
	})
	err := do(ctx)
	cancel()
	if n := s.InFlight(); n > 0 {
		fmt.Fprintf(out, "\nWaiting for %d attempts in flight, %s at most; press Ctrl-C again to stop at once.\n", n, riposte.AttemptTimeout)
	}
	running.Wait()
	if err == nil {
		err = served
	}
	return err
}
