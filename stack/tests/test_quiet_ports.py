"""Proves that a stack of one's own gets a port for each process, all different, however the dice fall."""

import random

from ledgerlink_stack.layout import choose_ports, quiet_ports


class Repeating(random.Random):
    """Dice that fall alike twice, every time."""

    turn = 0

    def randint(self, a: int, b: int) -> int:
        self.turn += 1
        return a + (self.turn // 2) % (b - a)


def test_dice_that_fall_alike_give_no_two_processes_one_port() -> None:
    chosen = quiet_ports(Repeating())
    assert len(set(chosen.values())) == len(chosen)
    ports = choose_ports(chosen)  # refuses what is taken twice, or is no port
    assert {ports.postgres, ports.redis, *ports.services.values(), *ports.workers.values()} == {
        int(port) for port in chosen.values()
    }
