import { describe, expect, it } from 'vitest'
import { SteadyTime } from './steady-time.ts'

const tenMinutes = 600_000

class Machine {
  wallMs = 1_000_000_000
  monotonicMs = 5_000
  uptimeMs = 90_000
  wall = () => this.wallMs
  monotonic = () => this.monotonicMs
  uptime = () => this.uptimeMs

  pass(ms: number): void {
    this.wallMs += ms
    this.monotonicMs += ms
    this.uptimeMs += ms
  }

  sleep(ms: number): void {
    this.wallMs += ms
    this.uptimeMs += ms
  }
}

describe('SteadyTime', () => {
  it.each([tenMinutes, -tenMinutes])('goes on through a jump of %d ms and back', (jump) => {
    const machine = new Machine()
    const time = new SteadyTime({ sources: machine, followMs: 60_000 })
    const began = time.now()
    machine.wallMs += jump
    machine.pass(10_000)
    expect(time.now() - began).toBe(10_000)
    machine.wallMs -= jump
    machine.pass(90_000)
    expect(time.now() - began).toBe(100_000)
  })

  it('follows a jump that lasts', () => {
    const machine = new Machine()
    const time = new SteadyTime({ sources: machine, followMs: 60_000 })
    machine.wallMs += tenMinutes
    machine.pass(1_000)
    expect(time.now()).toBe(machine.wallMs - tenMinutes)
    machine.pass(60_000)
    expect(time.now()).toBe(machine.wallMs)
  })

  it('knows at once that the machine has slept: a lease must not outlive that', () => {
    const machine = new Machine()
    const time = new SteadyTime({ sources: machine })
    machine.sleep(tenMinutes)
    expect(time.now()).toBe(machine.wallMs)
    machine.pass(5)
    expect(time.now()).toBe(machine.wallMs)
  })

  it('keeps what it was set to', () => {
    const machine = new Machine()
    const time = new SteadyTime({ sources: machine })
    time.set(42_000)
    machine.pass(8)
    machine.wallMs += tenMinutes
    expect(time.now()).toBe(42_008)
  })
})
