// Timed waits as Java makes them: until a time of the wall clock, and for a while.
import java.util.Date;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

public class Waits {
  private static final int LENGTH = 300;

  interface Wait {
    void run() throws Exception;
  }

  // Late by the clock that the wait goes by, in microseconds.
  private static void measure(String name, boolean wall, Wait wait) throws Exception {
    long wallEnd = System.currentTimeMillis() + LENGTH;
    long end = System.nanoTime() + LENGTH * 1_000_000L;
    wait.run();
    long late = wall ? (System.currentTimeMillis() - wallEnd) * 1000 : (System.nanoTime() - end) / 1000;
    System.out.println(name + " " + late);
    System.out.flush();
  }

  public static void main(String[] arguments) throws Exception {
    Object monitor = new Object();
    ReentrantLock lock = new ReentrantLock();
    Condition condition = lock.newCondition();
    while (true) {
      measure("parkUntil", true, () -> LockSupport.parkUntil(System.currentTimeMillis() + LENGTH));
      measure("awaitUntil", true, () -> {
        lock.lock();
        try {
          condition.awaitUntil(new Date(System.currentTimeMillis() + LENGTH));
        } finally {
          lock.unlock();
        }
      });
      measure("wait", false, () -> {
        synchronized (monitor) {
          monitor.wait(LENGTH);
        }
      });
      measure("sleep", false, () -> Thread.sleep(LENGTH));
    }
  }
}
