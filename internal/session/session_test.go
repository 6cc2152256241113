// SPDX-License-Identifier: Apache-2.0

package session

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenSaysWhereNobodyAnswers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	_, err := Open(t.Context(), Where{Address: socket, Namespace: "n"})
	if err == nil || !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("got %v", err)
	}
}
