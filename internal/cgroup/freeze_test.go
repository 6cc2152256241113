// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
)

// TestFreezeBehindAQuota: who waits for a processor stands still as soon as he gets it, here up to a second later.
func TestFreezeBehindAQuota(t *testing.T) {
	h := detect(t)
	account := h.v1Of("cpuacct")
	if h.v1Of("freezer") == nil || h.v1Of("cpu") == nil || account == nil {
		t.Skip("needs the freezer and the cpu controllers of cgroup v1")
	}
	c := newCgroup(t, h, testConfig())
	spawn(t, c, "burn")
	quota := &specs.LinuxCPU{Quota: pointer[int64](20_000), Period: pointer[uint64](1_000_000)}
	if err := c.Update(&specs.LinuxResources{CPU: quota}); err != nil {
		t.Fatal(err)
	}
	last := ""
	runs := func() bool {
		before := last
		last = readFile(t, account.path(c.path), "cpuacct.usage")
		return last != before
	}
	for range 2 {
		for range 3 { // it runs at the beginning of a second, and waits for the next one
			testnode.Eventually(t, "it runs", runs)
		}
		looks := 0 // the account is kept a few times in a hundredth of a second
		testnode.Eventually(t, "it has used up what it may in this second", func() bool {
			if looks++; runs() {
				looks = 0
			}
			return looks == 3
		})
		if err := c.Freeze(context.Background()); err != nil {
			t.Fatal(err)
		}
		if frozen, err := c.Frozen(); err != nil || !frozen {
			t.Errorf("Frozen: %v, %v", frozen, err)
		}
		if err := c.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFreezeIsGivenUp: what was to be frozen runs then.
func TestFreezeIsGivenUp(t *testing.T) {
	h := detect(t)
	if h.v1Of("freezer") == nil {
		t.Skip("needs the freezer of cgroup v1")
	}
	c := newCgroup(t, h, testConfig())
	spawn(t, c, "sleep")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errdefs.ErrAborted)
	// An attempt that has no time looks once: nobody may have stood still by then.
	if err := c.Freeze(ctx); err != nil && !errdefs.IsAborted(err) {
		t.Errorf("Freeze: %v", err)
	} else if frozen, ferr := c.Frozen(); ferr != nil || frozen != (err == nil) {
		t.Errorf("Frozen: %v, %v after %v", frozen, ferr, err)
	}
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
}
