// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"errors"
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

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		says   string // empty: valid
	}{
		"default":           {func(*Options) {}, ""},
		"count":             {func(o *Options) { o.Count, o.Duration = 5, 0 }, ""},
		"hold":              {func(o *Options) { o.Hold, o.Duration = 5, 0 }, ""},
		"no address":        {func(o *Options) { o.Address = "" }, "address"},
		"no namespace":      {func(o *Options) { o.Namespace = "" }, "namespace"},
		"no runtime":        {func(o *Options) { o.Runtime = "" }, "runtime"},
		"no worker":         {func(o *Options) { o.Concurrency = 0 }, "concurrency is 0"},
		"negative count":    {func(o *Options) { o.Count = -1 }, "negative"},
		"negative exec":     {func(o *Options) { o.Execs = -1 }, "negative"},
		"negative hold":     {func(o *Options) { o.Hold = -1 }, "negative"},
		"no duration":       {func(o *Options) { o.Duration = 0 }, "duration"},
		"negative duration": {func(o *Options) { o.Duration = -time.Second }, "duration"},
		"hold and count":    {func(o *Options) { o.Hold, o.Count = 1, 1 }, "hold"},
		"hold and exec":     {func(o *Options) { o.Hold, o.Execs = 1, 1 }, "hold"},
		"no timeout":        {func(o *Options) { o.Timeout = 0 }, "timeout"},
		"no max-errors":     {func(o *Options) { o.MaxErrors = 0 }, "max-errors"},
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
