package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = ""

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func buildVersion() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if b, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" {
			v.Version = b.Main.Version
		}
		for _, s := range b.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.time":
				v.Time = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "dev"
	}
	return v
}

func newVersionCmd() *cobra.Command {
	var o outputFlag
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  gnomon version\n  gnomon version -o json",
		Args:    cobra.NoArgs,
	}
	o.add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		v := buildVersion()
		columns := []out.Column[versionInfo]{
			{Name: "VERSION", Value: func(v *versionInfo) string { return v.Version }},
			{Name: "COMMIT", Value: func(v *versionInfo) string { return v.Commit }},
			{Name: "GO", Value: func(v *versionInfo) string { return v.Go }},
			{Name: "OS", Value: func(v *versionInfo) string { return v.OS }},
			{Name: "ARCH", Value: func(v *versionInfo) string { return v.Arch }},
		}
		return out.One(o.printer(c), columns, &v, func(p *out.Printer) error {
			commit := ""
			if v.Commit != "" {
				commit = ", commit " + v.Commit[:min(12, len(v.Commit))]
			}
			_, err := fmt.Fprintf(p.W, "gnomon %s (%s, %s/%s%s)\n", v.Version, v.Go, v.OS, v.Arch, commit)
			return err
		})
	}
	return c
}

func newCompletionCmd() *cobra.Command {
	return &cobra.Command{
		Use:       "completion bash|zsh|fish",
		Short:     "Print a completion script for a shell",
		Example:   "  source <(gnomon completion bash)\n  gnomon completion zsh > \"${fpath[1]}/_gnomon\"\n  gnomon completion fish > ~/.config/fish/completions/gnomon.fish",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(c *cobra.Command, args []string) error {
			w := c.OutOrStdout()
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(w, true)
			case "zsh":
				return c.Root().GenZshCompletion(w)
			}
			return c.Root().GenFishCompletion(w, true)
		},
	}
}
