// SPDX-License-Identifier: Apache-2.0

package podlog

const daemonVariable = "PODLOG_TEST_DAEMON"

func daemon() {}
