"""What watches the platform, as code: alerting rules and dashboards, of which the chart packs what is made here."""
