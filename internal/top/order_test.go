// SPDX-License-Identifier: Apache-2.0

package top

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func names(pods []Pod) string {
	var list []string
	for _, p := range pods {
		list = append(list, p.Name)
	}
	return strings.Join(list, " ")
}

func TestOrders(t *testing.T) {
	for order, want := range map[Order]string{
		ByCPU: "shop store job", ByMemory: "store shop job", ByRestarts: "job shop store", ByName: "job store shop", ByAge: "store shop job",
	} {
		if got := names(sorted(someReport().Pods, order, false)); got != want {
			t.Errorf("by %s: %s, want %s", order, got, want)
		}
		fields := strings.Fields(want)
		inverted := strings.Join([]string{fields[2], fields[1], fields[0]}, " ")
		if got := names(sorted(someReport().Pods, order, true)); got != inverted {
			t.Errorf("by %s, inverted: %s, want %s", order, got, inverted)
		}
	}
}

// Pods that use nothing must not jump about.
func TestEqualPodsGoByName(t *testing.T) {
	r := manyPods(20)
	for _, reverse := range []bool{false, true} {
		if got := sorted(r.Pods, ByCPU, reverse); names(got) != names(r.Pods) {
			t.Errorf("reverse %v: %s", reverse, names(got))
		}
	}
}

func TestValidate(t *testing.T) {
	good := Options{Address: "unix:///s", Interval: time.Second, Sort: ByCPU}
	if err := good.Validate(); err != nil || good.socket() != "/s" {
		t.Errorf("%v, socket %s", err, good.socket())
	}
	for says, change := range map[string]func(*Options){
		"address":         func(o *Options) { o.Address = "unix://" },
		"interval is 1ms": func(o *Options) { o.Interval = time.Millisecond },
		`sort is "size"`:  func(o *Options) { o.Sort = "size" },
		"cpu, memory":     func(o *Options) { o.Sort = "" },
	} {
		o := good
		change(&o)
		if err := o.Validate(); !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an invalid argument that says %q", err, says)
		}
	}
}
