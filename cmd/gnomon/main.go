// Command gnomon watches the API calls of this machine, keeps an inventory of them and shows it.
//
// In: flags, environment, and what a running `gnomon run`, a store file or recordings hold. Out: tables and JSON on standard
// output, messages on standard error, and an exit code: 0 done, 1 failed, 2 wrong usage, 3 done and what was asked for as a
// gate was found. It only composes the rooms under agent, inventory and collector.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
)

// usageError is wrong usage: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errGate says that what was asked for as a gate was found: exit code 3, and nothing more to print.
var errGate = errors.New("found")

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main with its surroundings given, for tests.
func run(args []string, in io.Reader, stdout, stderr io.Writer) int {
	signal.Ignore(syscall.SIGPIPE) // so that a closed pipe is an error that ends quietly
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRootCmd()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE), errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	case errors.Is(err, errGate):
		return 3
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "gnomon: %s\n", out.Safe(err.Error()))
		return 2
	}
	fmt.Fprintf(stderr, "gnomon: %s\n", out.Safe(err.Error()))
	return 1
}

func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "gnomon",
		Short: "Watch the API calls of this machine, and know which endpoints there are",
		Long: `gnomon is a passive sensor. It watches with eBPF the API calls that programs really make, changes nothing in them, and turns
them into an inventory: which endpoints exist, who calls them, with what credentials, over what encryption, carrying what
kinds of data.

Start "sudo gnomon run", then ask "sudo gnomon endpoints"; or read a recording with "gnomon replay FILE".`,
		Example:       "  sudo gnomon run\n  sudo gnomon endpoints\n  gnomon replay capture.pcap",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	root.AddGroup(&cobra.Group{ID: "watch", Title: "Watch:"}, &cobra.Group{ID: "ask", Title: "Ask:"}, &cobra.Group{ID: "other", Title: "Other:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	endpoints := newEndpointsCmd()
	endpoints.AddCommand(newInferCmd())
	add("watch", newRunCmd(), newReplayCmd(), newDoctorCmd())
	add("ask", newAPIsCmd(), endpoints, newShowCmd(), newCallsCmd(), newAlertsCmd(), newSensorsCmd())
	add("ask", newSpecCmd(), newDriftCmd(), newExportCmd())
	add("other", newCompletionCmd(), newVersionCmd())
	strict(root)
	return root
}

// strict makes wrong flags and arguments wrong usage, in c and all below it.
func strict(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see `%s --help`", err, c.CommandPath())}
	})
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, list []string) error {
			err := args(c, list)
			if err == nil {
				return nil
			}
			if c.HasSubCommands() && len(list) > 0 {
				err = fmt.Errorf("unknown command %q for %q", list[0], c.CommandPath())
				if near := c.SuggestionsFor(list[0]); len(near) > 0 {
					err = fmt.Errorf("%w: did you mean %s?", err, strings.Join(near, " or "))
				}
			}
			return usageError{fmt.Errorf("%w: see `%s --help`", err, c.CommandPath())}
		}
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}
