// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"strconv"
	"strings"

	"github.com/moby/sys/signal"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// stopSignal is the request's, the image's or SIGTERM.
func (t *translation) stopSignal() error {
	s := t.config.GetStopSignal()
	if s != runtime.Signal_SIGNAL_RUNTIME_DEFAULT {
		t.result.StopSignal = signalName(s) // known: checked
		return nil
	}
	if t.image.StopSignal == "" {
		t.result.StopSignal = "SIGTERM"
		return nil
	}
	name := strings.ToUpper(t.image.StopSignal)
	n, err := signal.ParseSignal(name)
	if err != nil || n < 1 || n > 64 {
		return invalid("the image's stop signal: %s is not a signal", quoted(t.image.StopSignal))
	}
	if _, err := strconv.Atoi(name); err != nil && !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	t.result.StopSignal = name
	return nil
}

// signalName turns SIGNAL_SIGRTMINPLUS1 into SIGRTMIN+1, "" if there is no such signal.
func signalName(s runtime.Signal) string {
	name, ok := runtime.Signal_name[int32(s)]
	if !ok {
		return ""
	}
	name = strings.TrimPrefix(name, "SIGNAL_")
	name = strings.Replace(name, "PLUS", "+", 1)
	return strings.Replace(name, "MINUS", "-", 1)
}

// CRISignal is the stop signal of a Result as ContainerStatus tells it:
// SIGNAL_RUNTIME_DEFAULT for what CRI has no name for.
func CRISignal(name string) runtime.Signal {
	name = strings.Replace(name, "+", "PLUS", 1)
	name = strings.Replace(name, "-", "MINUS", 1)
	return runtime.Signal(runtime.Signal_value["SIGNAL_"+name])
}
