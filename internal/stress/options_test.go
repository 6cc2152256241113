// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func valid() Options {
	return Options{
		Address: "/s", Namespace: "n", Runtime: DefaultRuntime,
		Concurrency: 1, Duration: time.Second, Timeout: time.Second, MaxErrors: 1,
	}
}

// pods are options of pods, changed.
func pods(change func(*Options)) func(*Options) {
	return func(o *Options) {
		o.CRI, o.Network = true, NetworkHost
		change(o)
	}
}

func TestCommandIsSplitIntoWords(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    []string
	}{
		{Options{}, []string{"true"}},
		{Options{CRI: true}, []string{"/bin/true"}},
		{Options{CRI: true, Command: " a  b\tc "}, []string{"a", "b", "c"}},
		{Options{Command: " "}, []string{"true"}},
	} {
		if got := c.options.command(); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.options.Command, got, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		says   string // empty: valid
	}{
		"default":               {func(*Options) {}, ""},
		"count":                 {func(o *Options) { o.Count, o.Duration = 5, 0 }, ""},
		"hold":                  {func(o *Options) { o.Hold, o.Duration = 5, 0 }, ""},
		"hold pods":             {func(o *Options) { o.CRI, o.Network, o.Hold, o.Duration = true, NetworkCNI, 5, 0 }, ""},
		"hold and idle":         {func(o *Options) { o.Hold, o.Idle = 5, time.Second }, ""},
		"no network":            {func(o *Options) { o.CRI, o.Network = true, "x" }, "network"},
		"library pods":          {func(o *Options) { o.CRI, o.Network, o.Library = true, NetworkHost, true }, "library"},
		"idle alone":            {func(o *Options) { o.Idle = time.Second }, "idle"},
		"negative idle":         {func(o *Options) { o.Hold, o.Idle = 5, -time.Second }, "negative"},
		"no address":            {func(o *Options) { o.Address = "" }, "address"},
		"no namespace":          {func(o *Options) { o.Namespace = "" }, "namespace"},
		"no runtime":            {func(o *Options) { o.Runtime = "" }, "runtime"},
		"no worker":             {func(o *Options) { o.Concurrency = 0 }, "concurrency is 0"},
		"negative count":        {func(o *Options) { o.Count = -1 }, "negative"},
		"negative exec":         {func(o *Options) { o.Execs = -1 }, "negative"},
		"negative hold":         {func(o *Options) { o.Hold = -1 }, "negative"},
		"no duration":           {func(o *Options) { o.Duration = 0 }, "duration"},
		"negative duration":     {func(o *Options) { o.Duration = -time.Second }, "duration"},
		"hold and count":        {func(o *Options) { o.Hold, o.Count = 1, 1 }, "hold"},
		"hold and exec":         {func(o *Options) { o.Hold, o.Execs = 1, 1 }, "hold"},
		"stop":                  {pods(func(o *Options) { o.Stop, o.Duration = 5, 0 }), ""},
		"stop containers":       {func(o *Options) { o.Stop = 5 }, "cri"},
		"negative stop":         {pods(func(o *Options) { o.Stop = -1 }), "negative"},
		"stop and count":        {pods(func(o *Options) { o.Stop, o.Count = 5, 5 }), "stop"},
		"stop and exec":         {pods(func(o *Options) { o.Stop, o.Execs = 5, 5 }), "stop"},
		"stop and hold":         {pods(func(o *Options) { o.Stop, o.Hold = 5, 5 }), "stop"},
		"stop and probe":        {pods(func(o *Options) { o.Stop, o.Probe = 5, 5 }), "stop"},
		"probe":                 {pods(func(o *Options) { o.Probe = 5 }), ""},
		"probe and exec":        {pods(func(o *Options) { o.Probe, o.Execs, o.Duration = 5, 5, 0 }), ""},
		"probe every second":    {pods(func(o *Options) { o.Probe, o.Every, o.Command = 5, time.Second, "date" }), ""},
		"probe containers":      {func(o *Options) { o.Probe = 5 }, "cri"},
		"probe without end":     {pods(func(o *Options) { o.Probe, o.Duration = 5, 0 }), "duration"},
		"probe and count":       {pods(func(o *Options) { o.Probe, o.Count = 5, 5 }), "probe"},
		"probe and hold":        {pods(func(o *Options) { o.Probe, o.Hold = 5, 5 }), "probe"},
		"negative probe":        {pods(func(o *Options) { o.Probe = -1 }), "negative"},
		"every alone":           {pods(func(o *Options) { o.Every = time.Second }), "every"},
		"negative every":        {pods(func(o *Options) { o.Probe, o.Every = 5, -time.Second }), "negative"},
		"every and concurrency": {pods(func(o *Options) { o.Probe, o.Every, o.Concurrency = 5, time.Second, 2 }), "concurrency"},
		"exec and command":      {func(o *Options) { o.Execs, o.Command = 5, "date" }, ""},
		"port":                  {func(o *Options) { o.CRI, o.Network, o.Port = true, NetworkCNI, 20000 }, ""},
		"port in node network":  {pods(func(o *Options) { o.Port = 20000 }), "port"},
		"port of a container":   {func(o *Options) { o.Port = 20000 }, "port"},
		"port too high":         {func(o *Options) { o.CRI, o.Network, o.Port = true, NetworkCNI, 60000 }, "port"},
		"negative port":         {func(o *Options) { o.CRI, o.Network, o.Port = true, NetworkCNI, -1 }, "port"},
		"command alone":         {func(o *Options) { o.Command = "date" }, "command"},
		"no timeout":            {func(o *Options) { o.Timeout = 0 }, "timeout"},
		"no max-errors":         {func(o *Options) { o.MaxErrors = 0 }, "max-errors"},
	} {
		t.Run(name, func(t *testing.T) {
			o := valid()
			c.change(&o)
			err := o.Validate()
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an invalid argument that says %q", err, c.says)
			}
		})
	}
}

func TestRunRefusesInvalidOptions(t *testing.T) {
	if _, err := Run(t.Context(), Options{}); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("got %v", err)
	}
}
