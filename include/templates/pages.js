/* What the pages do in a browser beyond showing themselves; each works without it but for its buttons. */
(() => {
  "use strict";

  /* Airflow keeps the colours that were chosen in its own pages here; unset means as the system is. */
  const theme = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("theme");
    } catch {
      /* A browser that keeps nothing follows the system. */
    }
    const root = document.documentElement;
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
    else delete root.dataset.theme;
  };
  theme();
  addEventListener("storage", (event) => {
    if (event.key === "theme" || event.key === null) theme();
  });

  const sent = (address, method, body) =>
    fetch(address, {
      method,
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-Participation": "page" },
      body: JSON.stringify(body),
    });

  const reason = async (answer) => {
    try {
      const told = (await answer.json()).detail;
      return typeof told === "string" ? told : answer.statusText;
    } catch {
      return answer.statusText;
    }
  };

  const tell = (words) => {
    const place = document.getElementById("acted");
    if (place) place.textContent = words;
  };

  /* Ask for a fragment again and again, while somebody can see it and nobody is in the middle of it. */
  const refresh = (live) => {
    const told = document.getElementById("refreshed");
    const again = async () => {
      if (document.hidden || live.contains(document.activeElement)) return;
      try {
        const answer = await fetch(live.dataset.refresh, { credentials: "same-origin" });
        if (!answer.ok) throw new Error(String(answer.status));
        live.innerHTML = await answer.text();
        told.textContent = "";
      } catch {
        told.textContent = live.dataset.stale;
      }
    };
    let timer = null;
    const watch = () => {
      clearInterval(timer);
      timer = document.hidden ? null : setInterval(again, Number(live.dataset.seconds) * 1000);
    };
    document.addEventListener("visibilitychange", () => {
      watch();
      again();
    });
    watch();
  };

  /* Start contribution_analysis for one id, as whoever is logged in. */
  const rerun = async (button) => {
    button.disabled = true;
    try {
      const answer = await sent(button.dataset.address, "POST", {
        logical_date: null,
        conf: { ids: [button.dataset.rerun] },
      });
      if (!answer.ok) throw new Error(await reason(answer));
      tell(button.dataset.done);
    } catch (error) {
      button.disabled = false;
      tell(`${button.dataset.failed} ${error.message}`);
    }
  };

  /* Inside Airflow a link to a page of Airflow's turns the page around this one. */
  const follow = (event, link) => {
    if (parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
    try {
      parent.history.pushState(null, "", link.href);
      parent.dispatchEvent(new PopStateEvent("popstate", { state: null }));
      event.preventDefault();
    } catch {
      /* Shown by itself after all. */
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-rerun]");
    if (button) rerun(button);
    const link = event.target.closest("a[data-airflow]");
    if (link) follow(event, link);
  });

  document.addEventListener("DOMContentLoaded", () => {
    const live = document.querySelector("[data-refresh]");
    if (live) refresh(live);
    document.querySelector(".places [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    /* What has to be scrolled sideways can be reached by keyboard. */
    for (const each of document.querySelectorAll(".scroll"))
      if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
  });
})();
