// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"strings"
	"testing"
)

func TestTimelineOfOne(t *testing.T) {
	var l timeline
	l.note(daemon, "early")
	for _, who := range []string{"pod-1", "pod-2", "pod-1/c", daemon, "pod-1/d", "pod-12"} {
		l.note(who, "says")
	}
	text := l.of("pod-1/c")
	if strings.Count(text, "\n") != 2 || strings.Contains(text, "early") || strings.Contains(text, "pod-1/d") || strings.Contains(text, "pod-12") {
		t.Errorf("got %q", text)
	}
}
