"""Name the test files that take longest."""

from __future__ import annotations

#: Relative to `test/`, the slowest first. Where processes share the files out, they begin, so none is waited for at the
#: end; `--durations` shows what has become slow.
SLOW_FILES = (
    "backends/n6/test_backend.py",
    "node/test_robot_drive.py",
    "node/test_n6.py",
    "node/test_processes.py",
    "node/test_seg_health.py",
    "node/test_depth_node.py",
    "node/test_depth_faults.py",
    "firmware/test_build.py",
    "cli/test_demo_verb.py",
    "cli/test_n6_verb.py",
    "adversarial/test_node_attacks.py",
    "firmware/test_mps3.py",
    "node/test_seg_node.py",
    "node/test_npu_node.py",
    "node/test_image_source.py",
    "core/test_native.py",
    "test_simulated_robot_example.py",
    "node/test_image_loss.py",
    "test_accuracy.py",
    "core/test_native_build.py",
    "backends/n6/test_faults.py",
)
