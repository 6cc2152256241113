// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestMain(m *testing.M) { testnode.OwnNetwork(m) }
