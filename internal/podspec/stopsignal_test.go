// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"testing"

	"github.com/moby/sys/signal"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestSignals: each of CRI's is one that stopping understands, and is told as the same.
func TestSignals(t *testing.T) {
	for number := range runtime.Signal_name {
		s := runtime.Signal(number)
		if s == runtime.Signal_SIGNAL_RUNTIME_DEFAULT {
			continue
		}
		name := signalName(s)
		if _, err := signal.ParseSignal(name); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if got := CRISignal(name); got != s {
			t.Errorf("%s became %s", s, got)
		}
	}
	if got := CRISignal("9"); got != runtime.Signal_SIGNAL_RUNTIME_DEFAULT {
		t.Error(got)
	}
}
